#include "service/lifecycle/process.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "service/lifecycle/call_tally.h"
#include "service/lifecycle/certain_exit.h"
#include "service/lifecycle/last_words.h"
#include "service/lifecycle/thread_stacks.h"

namespace lifecycle {
namespace {

// How long whoever leaves may take for what it says and tells. The watchdog leaves when
// half of the reserve is left; the stacks take an eighth of it at most, the way out a
// quarter.
Clock::Duration TimeToLeave(const StopBudget& budget) {
  return std::max<Clock::Duration>(budget.reserve * 2 / 5, std::chrono::milliseconds(200));
}

// " (2 /a.B/C, 1 /a.B/D)": which calls run.
std::string ByMethod(const CallTally& tally) {
  std::vector<std::string> running;
  for (const CallTally::Method& each : tally.methods) {
    if (each.left > 0) {
      running.push_back(absl::StrCat(each.left, " ", each.name.empty() ? "others" : each.name));
    }
  }
  return running.empty() ? "" : absl::StrCat(" (", absl::StrJoin(running, ", "), ")");
}

}  // namespace

Process::Process(const StopBudget& budget, Observer& observer)
    : clock_(Clock::Steady()),
      budget_(budget),
      grace_(absl::FormatDuration(absl::FromChrono(budget.grace))),
      observer_(observer),
      request_(clock_),
      drain_(request_),
      sequence_({request_, drain_, workers_, savers_, registry_}, budget_, clock_, observer_),
      way_out_(budget_, request_, clock_, observer_),
      signal_meaning_(clock_, request_, [this] { LeaveAtOnce(); }),
      workers_([this](const TaskGroup::Left& failed) {
        request_.Request(StopReason::kFailure,
                         absl::StrCat(failed.name, " ", failed.status.ToString()));
      }) {
  PrepareThreadStacks();
  watchdog_.emplace(request_, budget.watchdog(), [this] { Bite(sequence_.phase()); });
  signal_thread_.emplace(signal_meaning_);
}

Process::~Process() = default;

void Process::SaveOnStop(std::string name, ShutdownRegistry::Closer save) {
  savers_.Register(std::move(name), std::move(save), {.uses = ShutdownRegistry::kUsesNothing});
}

int Process::ServeUntilStopped(Traffic& traffic) {
  if (const absl::Status opened = sequence_.Open(traffic); !opened.ok()) {
    return CouldNotStart(opened);
  }
  way_out_.Serves(traffic);
  traffic_ = &traffic;
  const StopOutcome outcome = sequence_.Run();

  // What main destroys now may hang as well, and must not be looked at.
  const Clock::TimePoint end = request_.requested_at() + budget_.watchdog();
  watchdog_.emplace(request_, end - clock_.Now(), [this] { Bite(Phase::kStopped); });
  return way_out_.Return(outcome.exit_code, "", outcome.abandoned);
}

Standing Process::Look() const {
  Standing standing{.phase = sequence_.phase(), .drained = sequence_.drained()};
  if (const std::optional<Clock::TimePoint> ends = sequence_.phase_ends()) {
    standing.time_left = std::max(*ends - clock_.Now(), Clock::Duration::zero());
  }
  if (const Traffic* traffic = traffic_) standing.load = traffic->Look();
  return standing;
}

int Process::CouldNotStart(const absl::Status& why) {
  request_.Request(StopReason::kInterrupt);
  way_out_.CouldNotStart();
  const StopOutcome outcome = sequence_.RollBack(why);
  const std::string in_words(why.message());
  WriteLastWords({"could not start: ", in_words});
  return way_out_.Return(outcome.exit_code, in_words, outcome.abandoned);
}

std::string Process::WhatIsStuck() const {
  std::vector<std::string> stuck;
  if (const Traffic* traffic = traffic_) {
    if (const int calls = traffic->TryCallsRunning(); calls > 0) {
      stuck.push_back(absl::StrCat("calls running: ", calls, ByMethod(traffic->TryTally())));
    }
  }
  const std::vector<std::string> saving = savers_.TryClosing();
  if (!saving.empty()) stuck.push_back(absl::StrCat("saving: ", absl::StrJoin(saving, ", ")));
  const std::vector<std::string> closing = registry_.TryClosing();
  if (!closing.empty()) stuck.push_back(absl::StrCat("closing: ", absl::StrJoin(closing, ", ")));
  return absl::StrJoin(stuck, "; ");
}

void Process::Bite(Phase phase) {
  ExitAfter(TimeToLeave(budget_), ExitCode::kWatchdog);
  // First what takes neither a lock nor memory: somebody may hold either for ever.
  static_assert(static_cast<int>(ExitCode::kWatchdog) == 5);
  const bool stopped = phase == Phase::kStopped;
  const char* const where = stopped ? "after the stop, in main" : "in phase ";
  const char* const name = stopped ? "" : PhaseName(phase);
  WriteLastWords({"watchdog: the stop has spent its grace of ", grace_, "; stuck ", where, name,
                  "; exit code 5"});
  WriteThreadStacks(STDERR_FILENO, budget_.reserve / 8);

  std::string why = absl::StrCat("stuck ", where, name);
  // After the stop nothing is left of what could tell it.
  if (const std::string stuck = stopped ? "" : WhatIsStuck(); !stuck.empty()) {
    WriteLastWords({"watchdog: ", stuck});
    absl::StrAppend(&why, "; ", stuck);
  }
  way_out_.Leave(ExitCode::kWatchdog, why);
}

void Process::LeaveAtOnce() {
  ExitAfter(TimeToLeave(budget_), ExitCode::kThirdSignal);
  WriteLastWords({"third signal: leaving at once, nothing more is saved or closed"});
  way_out_.Leave(ExitCode::kThirdSignal, "third signal");
}

}  // namespace lifecycle
