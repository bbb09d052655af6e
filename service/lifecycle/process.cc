#include "service/lifecycle/process.h"

#include <unistd.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "service/lifecycle/last_words.h"

namespace lifecycle {
namespace {

[[noreturn]] void ExitAtOnce(ExitCode code) { _exit(static_cast<int>(code)); }

}  // namespace

Process::Process(const StopBudget& budget, Observer& observer)
    : clock_(Clock::Steady()),
      budget_(budget),
      observer_(observer),
      request_(clock_),
      signal_meaning_(clock_, request_, [this] { LeaveAtOnce(); }) {
  watchdog_.emplace(request_, budget.grace - budget.reserve, [this] { Bite(WhereItStands()); });
  signal_thread_.emplace(signal_meaning_);
}

Process::~Process() = default;

void Process::SaveOnStop(std::string name, ShutdownRegistry::Closer save) {
  const std::vector<ShutdownRegistry::Handle> nothing;
  savers_.Register(std::move(name), std::move(save), {.uses = nothing});
}

int Process::ServeUntilStopped(Traffic& traffic) {
  const bool served = !request_.requested().stop_requested();
  if (served) observer_.OnEvent({"Serving", "", "", Phase::kServing, true, clock_.Now()});

  StopReason reason = request_.Wait();
  reason_ = reason == StopReason::kTerminate ? "terminate" : "interrupt";
  observer_.OnEvent({"StopRequested", "", absl::StrCat(reason_.load(), ", ", budget_.ToString()),
                     served ? Phase::kServing : Phase::kStarting, true, request_.requested_at()});
  // Nobody can have found a replica that has never served.
  if (!served) reason = StopReason::kInterrupt;

  ShutdownSequence sequence({traffic, workers_, savers_, registry_}, budget_, request_.hurry(),
                            clock_, observer_);
  traffic_ = &traffic;
  sequence_ = &sequence;
  const StopOutcome outcome = sequence.Run(reason);
  GuardMain();
  BeginEnd();
  TellEnd(outcome.exit_code, "");
  {
    std::lock_guard lock(tally_mutex_);
    traffic_ = nullptr;
  }
  if (outcome.abandoned) ExitAtOnce(outcome.exit_code);
  EndEnd();
  return static_cast<int>(outcome.exit_code);
}

void Process::GuardMain() {
  // The objects of the stop are about to go, and must not be looked at.
  const Clock::TimePoint end = request_.requested_at() + budget_.grace - budget_.reserve / 2;
  watchdog_.emplace(request_, end - clock_.Now(), [this] { Bite("after the stop, in main"); });
}

int Process::CouldNotStart(const absl::Status& why) {
  request_.Request(StopReason::kInterrupt);
  reason_ = "could not start";
  Tell(Phase::kStarting, "CouldNotStart", "", why);
  bool abandoned = false;
  observer_.OnPhase(Phase::kWorking, clock_.Now(), budget_.workers);
  workers_.RequestStop();
  Patience for_workers(clock_, budget_.workers, request_.hurry());
  for (const TaskGroup::Left& left : workers_.Join(for_workers)) {
    abandoned |= absl::IsDeadlineExceeded(left.status);
    Tell(Phase::kWorking, "WorkerFailed", left.name, left.status);
  }
  observer_.OnPhase(Phase::kClosing, clock_.Now(), budget_.close);
  Patience for_closing(clock_, budget_.close, request_.hurry());
  registry_.CloseAll(for_closing, [&](const ShutdownRegistry::Closed& closed) {
    abandoned |= closed.passed_over;
    observer_.OnEvent(EventOf(closed, closed.status.ok() ? "Closed" : "CloseFailed",
                              Phase::kClosing, clock_.Now()));
  });
  observer_.OnPhase(Phase::kStopped, clock_.Now(), budget_.reserve);
  WriteLastWords(absl::StrCat("could not start: ", std::string(why.message())));
  BeginEnd();
  TellEnd(ExitCode::kCouldNotStart, std::string(why.message()));
  if (abandoned) ExitAtOnce(ExitCode::kCouldNotStart);
  EndEnd();
  return static_cast<int>(ExitCode::kCouldNotStart);
}

void Process::Tell(Phase phase, std::string name, std::string subject, const absl::Status& status) {
  observer_.OnEvent({std::move(name), std::move(subject), status.ok() ? "" : status.ToString(),
                     phase, status.ok(), clock_.Now()});
}

void Process::TellEnd(ExitCode code, std::string why) {
  observer_.OnEnd({.exit_code = code,
                   .reason = reason_.load(),
                   .why = std::move(why),
                   .hurried = request_.hurry().stop_requested(),
                   .requested_at = request_.requested_at(),
                   .at = clock_.Now(),
                   .budget = budget_,
                   .calls = Tally()});
}

bool Process::BeginEnd(std::optional<Clock::Duration> limit) {
  std::unique_lock lock(end_mutex_);
  const auto free = [this] { return !ending_; };
  if (!limit) {
    end_changed_.wait(lock, free);
  } else if (!end_changed_.wait_for(lock, *limit, free)) {
    return false;
  }
  ending_ = true;
  return true;
}

void Process::EndEnd() {
  std::lock_guard lock(end_mutex_);
  ending_ = false;
  end_changed_.notify_all();
}

void Process::LeaveWith(ExitCode code, std::string why) {
  // An observer has a quarter of the reserve.
  if (BeginEnd(budget_.reserve / 4 + std::chrono::milliseconds(100))) TellEnd(code, std::move(why));
  ExitAtOnce(code);
}

CallTally Process::Tally() {
  std::lock_guard lock(tally_mutex_);
  if (const Traffic* traffic = traffic_) tally_ = traffic->TryTally();
  return tally_;
}

std::string Process::WhereItStands() const {
  const ShutdownSequence* sequence = sequence_;
  std::string stuck = absl::StrCat(
      "in phase ", PhaseName(sequence == nullptr ? Phase::kStarting : sequence->phase()));
  if (const Traffic* traffic = traffic_) {
    if (const int calls = traffic->TryCallsRunning(); calls > 0) {
      absl::StrAppend(&stuck, "; calls running: ", calls);
    }
  }
  const std::vector<std::string> saving = savers_.TryClosing();
  if (!saving.empty()) absl::StrAppend(&stuck, "; saving: ", absl::StrJoin(saving, ", "));
  const std::vector<std::string> closing = registry_.TryClosing();
  if (!closing.empty()) absl::StrAppend(&stuck, "; closing: ", absl::StrJoin(closing, ", "));
  return stuck;
}

void Process::Bite(const std::string& stuck) {
  WriteLastWords(absl::StrCat("watchdog: the stop has spent its grace of ",
                              absl::FormatDuration(absl::FromChrono(budget_.grace)), "; stuck ",
                              stuck, "; exit code ", static_cast<int>(ExitCode::kWatchdog)));
  LeaveWith(ExitCode::kWatchdog, absl::StrCat("stuck ", stuck));
}

void Process::LeaveAtOnce() {
  WriteLastWords("third signal: leaving at once, nothing more is saved or closed");
  LeaveWith(ExitCode::kImpatient, "third signal");
}

}  // namespace lifecycle
