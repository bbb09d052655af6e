#include "service/lifecycle/process.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"

namespace lifecycle {
namespace {

// Writes past every lock and buffer, and never blocks: a reader that has stopped
// reading must not keep the process alive. PIPE_BUF bounds what fits for certain.
void WriteLastWords(std::string words) {
  words.resize(std::min<std::size_t>(words.size(), 4000));
  words.push_back('\n');
  pollfd out{STDERR_FILENO, POLLOUT, 0};
  if (poll(&out, 1, /*timeout=*/0) == 1 && (out.revents & POLLOUT) != 0) {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, words.data(), words.size());
  }
}

[[noreturn]] void ExitAtOnce(ExitCode code) { _exit(static_cast<int>(code)); }

}  // namespace

Process::Process(const StopBudget& budget, Observer& observer)
    : clock_(Clock::Steady()),
      budget_(budget),
      observer_(observer),
      request_(clock_),
      drain_(request_),
      signal_meaning_(clock_, request_, [this] { LeaveAtOnce(); }) {
  // Half of the reserve: a stop that uses up all its parts ends by itself.
  watchdog_.emplace(request_, budget.grace - budget.reserve / 2, [this] { Bite(WhereItStands()); });
  signal_thread_.emplace(signal_meaning_);
}

Process::~Process() = default;

void Process::SaveOnStop(std::string name, ShutdownRegistry::Closer save) {
  const std::vector<ShutdownRegistry::Handle> nothing;
  savers_.Register(std::move(name), std::move(save), {.uses = nothing});
}

int Process::ServeUntilStopped(Traffic& traffic) {
  ShutdownSequence sequence({request_, drain_, traffic, workers_, savers_, registry_}, budget_,
                            clock_, observer_);
  traffic_ = &traffic;
  sequence_ = &sequence;
  const StopOutcome outcome = sequence.Run();
  if (outcome.abandoned) ExitAtOnce(outcome.exit_code);

  // What main destroys now may hang as well, and must not be looked at.
  const Clock::TimePoint end = request_.requested_at() + budget_.grace - budget_.reserve / 2;
  watchdog_.emplace(request_, end - clock_.Now(), [this] { Bite("after the stop, in main"); });
  return static_cast<int>(outcome.exit_code);
}

Standing Process::Look() const {
  const ShutdownSequence* const sequence = sequence_;
  if (sequence == nullptr) return {};
  Standing standing{.phase = sequence->phase()};
  if (const std::optional<Clock::TimePoint> ends = sequence->phase_ends()) {
    standing.time_left = std::max(*ends - clock_.Now(), Clock::Duration::zero());
  }
  standing.drained = sequence->drained();
  standing.load = traffic_.load()->Look();
  return standing;
}

int Process::CouldNotStart(const absl::Status& why) {
  request_.Request(StopReason::kInterrupt);
  Tell(Phase::kStarting, "CouldNotStart", "", why);
  bool abandoned = false;
  workers_.RequestStop();
  Patience for_workers(clock_, budget_.workers, request_.hurry());
  for (const TaskGroup::Left& left : workers_.Join(for_workers)) {
    abandoned |= absl::IsDeadlineExceeded(left.status);
    Tell(Phase::kWorking, "WorkerFailed", left.name, left.status);
  }
  Patience for_closing(clock_, budget_.close, request_.hurry());
  registry_.CloseAll(for_closing, [&](const ShutdownRegistry::Closed& closed) {
    abandoned |= closed.passed_over;
    Tell(Phase::kClosing, closed.status.ok() ? "Closed" : "CloseFailed", closed.name,
         closed.status);
  });
  WriteLastWords(absl::StrCat("could not start: ", std::string(why.message())));
  if (abandoned) ExitAtOnce(ExitCode::kCouldNotStart);
  return static_cast<int>(ExitCode::kCouldNotStart);
}

void Process::Tell(Phase phase, std::string name, std::string subject, const absl::Status& status) {
  observer_.OnEvent({std::move(name), std::move(subject), status.ok() ? "" : status.ToString(),
                     phase, status.ok(), clock_.Now()});
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
  ExitAtOnce(ExitCode::kWatchdog);
}

void Process::LeaveAtOnce() {
  WriteLastWords("third signal: leaving at once, nothing more is saved or closed");
  ExitAtOnce(ExitCode::kImpatient);
}

}  // namespace lifecycle
