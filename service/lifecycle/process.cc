#include "service/lifecycle/process.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "service/lifecycle/last_resort/last_words.h"
#include "service/lifecycle/last_resort/precondition.h"
#include "service/lifecycle/last_resort/thread_stacks.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {
namespace {

// How long a thread that exits at once may take for its message and its report.
Clock::Duration TimeToLeave(const ShutdownBudget& budget) {
  return std::max<Clock::Duration>(budget.reserve * 2 / 5, std::chrono::milliseconds(200));
}

std::optional<Clock::TimePoint> RequestedAt(ShutdownRequest& request, std::stop_token interrupt) {
  if (!request.Wait(std::move(interrupt))) return std::nullopt;
  return request.requested_at();
}

}  // namespace

Process::Process(const ShutdownBudget& budget, Observer& observer)
    : clock_(Clock::Steady()),
      budget_(budget),
      grace_(absl::FormatDuration(absl::FromChrono(budget.grace))),
      observer_(observer),
      request_(clock_),
      drain_(request_),
      workers_([this](const TaskGroup::Left& failed) {
        request_.Request(ShutdownReason::kFailure,
                         absl::StrCat(failed.name, " ", failed.status.ToString()));
      }),
      sequence_({request_, drain_, workers_, savers_, registry_}, budget_, clock_, observer_),
      main_(std::this_thread::get_id()),
      exit_reporter_(budget_, request_, clock_, observer_),
      watchdog_([this](std::stop_token interrupt) { return RequestedAt(request_, interrupt); },
                budget_.UntilExpired(), budget_.UntilExit(), [this] { OnExpired(); }),
      signals_([this](SignalMeaning meaning) { OnSignal(meaning); }),
      unplanned_end_([this](const std::string& why) { OnUnplannedEnd(why); }) {
  observer_.OnProcess(this);
}

Process::~Process() {
  observer_.OnProcess(nullptr);
  if (!may_roll_back_) return;
  // The registered resources are already destroyed: nothing can be closed.
  may_roll_back_ = false;
  Require(false, "main() returned without ServeUntilShutdown() or CouldNotStart()");
}

void Process::SaveOnShutdown(std::string name, ShutdownRegistry::Closer save) {
  savers_.Register(std::move(name), std::move(save), {.uses = ShutdownRegistry::kUsesNothing});
}

int Process::ServeUntilShutdown(Traffic& traffic) {
  Require(may_roll_back_,
          "a process serves once: pass several servers in one lifecycle::TrafficGroup");
  traffic.OnHandover(
      [this](const std::string& to) { request_.Request(ShutdownReason::kHandover, "to " + to); });
  if (const absl::Status opened = sequence_.Open(traffic); !opened.ok()) {
    return CouldNotStart(opened);
  }
  may_roll_back_ = false;
  exit_reporter_.Serves(traffic);
  {
    std::lock_guard lock(looking_);
    traffic_ = &traffic;
  }
  UnplannedEnd::NoticeExitFromNowOn();  // Now that the server has made what it needs.
  const ShutdownOutcome outcome = sequence_.Run();
  {
    std::lock_guard lock(looking_);
    traffic_ = nullptr;
  }
  return exit_reporter_.Return(outcome.exit_code, "", outcome.abandoned);
}

ProcessStatus Process::Look() const {
  ProcessStatus status{.phase = sequence_.phase(), .drained = sequence_.drained()};
  if (const std::optional<Clock::TimePoint> ends = sequence_.phase_ends()) {
    status.time_left = std::max(*ends - clock_.Now(), Clock::Duration::zero());
  }
  std::lock_guard lock(looking_);
  if (traffic_ != nullptr) status.load = traffic_->Look();
  return status;
}

int Process::CouldNotStart(const absl::Status& why) {
  may_roll_back_ = false;
  request_.Request(ShutdownReason::kInterrupt);
  exit_reporter_.CouldNotStart();
  const ShutdownOutcome outcome = sequence_.RollBack(why);
  return exit_reporter_.Return(outcome.exit_code, std::string(why.message()), outcome.abandoned);
}

std::string Process::InFlight() const {
  std::vector<std::string> stuck;
  std::unique_lock lock(looking_, std::try_to_lock);
  if (lock.owns_lock() && traffic_ != nullptr) {
    if (const int calls = traffic_->TryCallsRunning(); calls > 0) {
      const std::string by_method = RunningCalls(traffic_->TryTally());
      stuck.push_back(
          absl::StrCat("calls running: ", calls, by_method.empty() ? "" : " (" + by_method + ")"));
    }
  }
  const std::vector<std::string> workers = workers_.TryStopping();
  if (!workers.empty()) stuck.push_back(absl::StrCat("workers: ", absl::StrJoin(workers, ", ")));
  const std::vector<std::string> saving = savers_.TryClosing();
  if (!saving.empty()) stuck.push_back(absl::StrCat("saving: ", absl::StrJoin(saving, ", ")));
  const std::vector<std::string> closing = registry_.TryClosing();
  if (!closing.empty()) stuck.push_back(absl::StrCat("closing: ", absl::StrJoin(closing, ", ")));
  return absl::StrJoin(stuck, "; ");
}

bool Process::Alive() const {
  if (request_.reason()) return true;  // The watchdog ends it.
  std::unique_lock lock(looking_, std::try_to_lock);
  return !lock.owns_lock() || traffic_ == nullptr || traffic_->Answers();
}

void Process::OnSignal(SignalMeaning meaning) {
  switch (meaning) {
    case SignalMeaning::kTerminate:
      request_.Request(ShutdownReason::kTerminate);
      break;
    case SignalMeaning::kInterrupt:
      // A person wants less waiting than whatever else began it.
      if (!request_.Request(ShutdownReason::kInterrupt)) request_.Expedite();
      break;
    case SignalMeaning::kExpedite:
      request_.Expedite();
      break;
    case SignalMeaning::kLeave:
      LeaveAtOnce();
    case SignalMeaning::kShow:
      Show();
      break;
    case SignalMeaning::kNothing:
      break;
  }
}

void Process::Show() {
  WriteLastWords({"in flight, in phase ", PhaseName(sequence_.phase()), ": ", InFlight()});
  WriteThreadStacks(STDERR_FILENO, std::chrono::seconds(1));
}

void Process::OnExpired() {
  // First what needs neither a lock nor memory: somebody may hold either forever.
  static_assert(static_cast<int>(ExitCode::kWatchdog) == 5);
  const Phase phase = sequence_.phase();
  const bool stopped = phase == Phase::kStopped;
  const char* const where = stopped ? "after the shutdown, in main" : "in phase ";
  const char* const name = stopped ? "" : PhaseName(phase);
  WriteLastWords({"watchdog: the shutdown has spent its grace of ", grace_, "; stuck ", where, name,
                  "; exit code 5"});
  WriteThreadStacks(STDERR_FILENO, budget_.reserve / 8);

  std::string why = absl::StrCat("stuck ", where, name);
  if (const std::string stuck = InFlight(); !stuck.empty()) {
    WriteLastWords({"watchdog: ", stuck});
    absl::StrAppend(&why, "; ", stuck);
  }
  exit_reporter_.Leave(ExitCode::kWatchdog, why);
}

void Process::LeaveAtOnce() {
  watchdog_.ExitBy(clock_.Now() + TimeToLeave(budget_), ExitCode::kThirdSignal);
  WriteLastWords({"third signal: leaving at once, nothing more is saved or closed"});
  std::string why = "third signal";
  if (const std::string stuck = InFlight(); !stuck.empty()) absl::StrAppend(&why, "; ", stuck);
  exit_reporter_.Leave(ExitCode::kThirdSignal, why);
}

void Process::OnUnplannedEnd(const std::string& why) {
  if (std::this_thread::get_id() == main_ && may_roll_back_) {
    _exit(CouldNotStart(absl::InternalError(why)));
  }
  watchdog_.ExitBy(clock_.Now() + TimeToLeave(budget_), ExitCode::kBug);
  WriteThreadStacks(STDERR_FILENO, TimeToLeave(budget_) / 4);
  exit_reporter_.Leave(ExitCode::kBug, why);
}

}  // namespace lifecycle
