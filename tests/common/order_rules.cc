#include "tests/common/order_rules.h"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "service/lifecycle/event.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/phase.h"
#include "tests/common/event_log.h"

namespace testkit {
namespace {

using lifecycle::EventRow;
using lifecycle::EventType;
using lifecycle::ExitCode;
using lifecycle::Phase;

// The steps of a shutdown, in order; each is told by one event, or by one of each of several.
enum Step {
  kServing,
  kManualDrain,
  kRequest,
  kLameDuck,
  kListener,
  kGoodbye,
  kDrained,
  kConnections,
  kRefuse,
  kCalls,
  kLateCalls,
  kServer,
  kWorkers,
  kSave,
  kClose,
  kStopped,
};

// The order of service/lifecycle/shutdown_sequence.h, as Main has it in
// tests/model/shutdown.pml; tests/architecture/words_test.py compares the three.
Step StepOf(EventType event) {
  switch (event) {
    case EventType::kCouldNotStart:
    case EventType::kServing:
      return kServing;
    case EventType::kManualDrainRequested:
      return kManualDrain;
    case EventType::kShutdownRequested:
      return kRequest;
    case EventType::kLameDuckEntered:
      return kLameDuck;
    case EventType::kListenerClosed:
      return kListener;
    case EventType::kGoodbyeSaid:
      return kGoodbye;
    case EventType::kDrained:
      return kDrained;
    case EventType::kConnectionsGone:
    case EventType::kConnectionsRemain:
      return kConnections;
    case EventType::kNewCallsRefused:
      return kRefuse;
    case EventType::kCallsFinished:
    case EventType::kCallsCut:
      return kCalls;
    case EventType::kLateCallsCut:
      return kLateCalls;
    case EventType::kServerStopped:
    case EventType::kServerAbandoned:
      return kServer;
    case EventType::kWorkersStopped:
    case EventType::kWorkerFailed:
      return kWorkers;
    case EventType::kStateSaved:
    case EventType::kSaveFailed:
      return kSave;
    case EventType::kClosed:
    case EventType::kCloseFailed:
      return kClose;
    case EventType::kStopped:
      return kStopped;
  }
  return kStopped;
}

// Told for each of several, by name.
bool IsOfEach(EventType event) {
  return event == EventType::kWorkerFailed || StepOf(event) == kSave || StepOf(event) == kClose;
}

// Of work that was finished only when what it was queued in was closed.
bool IsLateFailure(const LoggedEvent& event) {
  return event.Is(EventType::kWorkerFailed) && event.phase == PhaseName(Phase::kClosingResources);
}

// Not everybody has something to save or to close, or is drained before the shutdown.
bool MayBeMissing(Step step) {
  return step == kSave || step == kClose || step == kDrained || step == kLateCalls;
}

std::optional<Phase> PhaseOfName(std::string_view name) {
  for (int phase = 0; phase <= static_cast<int>(Phase::kStopped); ++phase) {
    if (name == PhaseName(static_cast<Phase>(phase))) return static_cast<Phase>(phase);
  }
  return std::nullopt;
}

std::string Described(const LoggedEvent& event) {
  return event.subject.empty() ? event.name : absl::StrCat(event.name, " \"", event.subject, "\"");
}

// Without the manual drains that were taken back: nothing is left of each but that
// it serves again.
std::vector<LoggedEvent> WithoutWhatWasTakenBack(std::vector<LoggedEvent> events) {
  const std::vector<EventType> taken_back = {EventType::kServing, EventType::kManualDrainRequested,
                                             EventType::kLameDuckEntered, EventType::kServing};
  while (std::equal(taken_back.begin(), taken_back.end(), events.begin(),
                    events.begin() + std::min(events.size(), taken_back.size()),
                    [](EventType type, const LoggedEvent& event) { return event.Is(type); })) {
    events.erase(events.begin(), events.begin() + taken_back.size() - 1);
  }
  return events;
}

bool HasLine(const std::string& output, const std::string& beginning) {
  return output.starts_with(beginning) || output.find("\n" + beginning) != std::string::npos;
}

// One look at one log. Each method checks the rules of its name.
class Check {
 public:
  Check(const std::string& output, Ending ending, const Uses& uses)
      : all_events_(EventsIn(output)),
        events_(WithoutWhatWasTakenBack(all_events_)),
        ending_(ending),
        uses_(uses),
        watchdog_(HasLine(output, "watchdog: ")),
        third_signal_(HasLine(output, "third signal: ")),
        could_not_start_(HasLine(output, "could not start: ") ||
                         output.find(": could not start: ") != std::string::npos),
        never_began_(HasLine(output, "stopped before anything was opened; exit code 0")) {}

  std::vector<std::string> Run() {
    for (const LoggedEvent& event : all_events_) InItsPhase(event);
    RequestInItsPhase();
    Forward();
    Order();
    NotInUse();
    Time();
    if (ending_.how == Ending::How::kRuns) Break("every_run_ends", "the process still runs");
    if (ending_.how == Ending::How::kExited) {
      Clean();
      Told();
      Complete();
    }
    return std::move(broken_);
  }

 private:
  template <typename... Words>
  void Break(const char* rule, const Words&... words) {
    broken_.push_back(absl::StrCat(rule, ": ", words...));
  }

  bool Has(EventType type) const {
    return std::any_of(events_.begin(), events_.end(),
                       [&](const LoggedEvent& event) { return event.Is(type); });
  }

  bool HasStep(Step step) const {
    return std::any_of(events_.begin(), events_.end(), [&](const LoggedEvent& event) {
      return event.type && StepOf(*event.type) == step;
    });
  }

  // The process itself decided to end before the order was through.
  bool LeftOnItsWay() const {
    return ending_.how == Ending::How::kExited &&
           ending_.number >= static_cast<int>(ExitCode::kWatchdog);
  }

  void InItsPhase(const LoggedEvent& event) {
    if (!event.type) return Break("IN_ITS_PHASE", event.name, " is no event of a shutdown");
    const EventRow& row = RowOf(*event.type);
    if (event.ok != (row.exit_code == ExitCode::kClean)) {
      Break("CLEAN", Described(event), event.ok ? " without a" : " as a", " warning");
    }
    if (row.type == EventType::kShutdownRequested || IsLateFailure(event)) return;
    if (PhaseOfName(event.phase) != row.phase) {
      Break("IN_ITS_PHASE", Described(event), " in ", event.phase, " instead of ",
            PhaseName(row.phase));
    }
  }

  // A shutdown is told of in the phase in which it was noticed.
  void RequestInItsPhase() {
    std::string phase = PhaseName(Phase::kStarting);
    for (const LoggedEvent& event : events_) {
      if (event.Is(EventType::kShutdownRequested) && event.phase != phase) {
        Break("IN_ITS_PHASE", Described(event), " in ", event.phase, " instead of ", phase);
      }
      phase = event.phase;
    }
  }

  void Forward() {
    std::optional<Phase> latest;
    for (const LoggedEvent& event : events_) {
      const std::optional<Phase> phase = PhaseOfName(event.phase);
      if (latest && phase < latest) {
        Break("FORWARD", Described(event), " in ", event.phase, " after ", PhaseName(*latest));
      }
      latest = std::max(latest, phase);
    }
  }

  void Order() {
    std::map<Step, const LoggedEvent*> told;
    std::set<std::pair<Step, std::string>> named;
    const LoggedEvent* latest = nullptr;
    for (const LoggedEvent& event : events_) {
      if (!event.type || IsLateFailure(event)) continue;
      const Step step = StepOf(*event.type);
      const Step before_it = latest == nullptr ? kServing : StepOf(*latest->type);
      if (step == kRequest && DrainedByHand()) {
        // Where it notices a shutdown; what comes next is in order with what came before.
        if (before_it != kLameDuck && before_it != kGoodbye && before_it != kDrained) {
          Break("LISTENER_FIRST", Described(event), " after ", Described(*latest));
        }
      } else if (step < before_it) {
        Break("LISTENER_FIRST", Described(event), " after ", Described(*latest));
      } else {
        latest = &event;
      }
      if (step == kDrained && (!DrainedByHand() || told.contains(kRequest))) {
        Break("LISTENER_FIRST", Described(event), " is not of a manual drain");
      }
      if (IsOfEach(*event.type) && !named.emplace(step, event.subject).second) {
        Break("LISTENER_FIRST", Described(event), " was told of before");
      }
      const auto [before, first] = told.emplace(step, &event);
      if (!first && !(IsOfEach(*event.type) && IsOfEach(*before->second->type))) {
        Break("LISTENER_FIRST", Described(event), " besides ", Described(*before->second));
      }
    }
  }

  void NotInUse() {
    std::map<std::string, std::size_t> closed;
    for (std::size_t at = 0; at < events_.size(); ++at) {
      const auto type = events_[at].type;
      if (type && StepOf(*type) == kClose) closed.emplace(events_[at].subject, at);
    }
    for (const auto& [user, used] : uses_) {
      if (closed.contains(used) && (!closed.contains(user) || closed[used] < closed[user])) {
        Break("NOT_IN_USE", "\"", used, "\" is closed before \"", user, "\", which uses it");
      }
    }
  }

  void Time() {
    std::optional<std::chrono::milliseconds> latest;
    for (const LoggedEvent& event : all_events_) {
      if (event.Is(EventType::kShutdownRequested) &&
          event.since_shutdown != std::chrono::milliseconds(0)) {
        Break("TIME", "ShutdownRequested is not at +0.000s");
      }
      if (latest && event.since_shutdown < latest) {
        Break("TIME", Described(event), " is earlier than what was told before it");
      }
      latest = std::max(latest, event.since_shutdown);
    }
  }

  void Clean() {
    const auto code = static_cast<ExitCode>(ending_.number);
    if (LeftOnItsWay()) {
      if (code == ExitCode::kWatchdog && !watchdog_) {
        Break("CLEAN", "the watchdog's exit code without its last words");
      }
      if (code == ExitCode::kThirdSignal && !third_signal_) {
        Break("CLEAN", "the third signal's exit code without its last words");
      }
      return;
    }
    // Once it has stopped it may be quicker than whoever wanted to end it.
    if ((watchdog_ || third_signal_) && !Has(EventType::kStopped)) {
      Break("CLEAN", "last words as of one that left on its way, but exit code ", ending_.number);
    }
    if (could_not_start_ != (code == ExitCode::kCouldNotStart)) {
      Break("CLEAN", could_not_start_ ? "could not start" : "did start", ", but exit code ",
            ending_.number);
    }
    if (could_not_start_) return;
    ExitCode right = ExitCode::kClean;
    for (const LoggedEvent& event : events_) {
      if (event.type) right = std::max(right, RowOf(*event.type).exit_code);
    }
    if (code != right) {
      Break("CLEAN", "exit code ", ending_.number, ", but what is told leads to ",
            static_cast<int>(right));
    }
  }

  void Told() {
    if (LeftOnItsWay()) return;
    for (const LoggedEvent& event : events_) {
      const std::string right = absl::StrCat("exit code ", ending_.number);
      if (event.Is(EventType::kStopped) && event.detail != right) {
        Break("TOLD", "Stopped tells \"", event.detail, "\", but it was ", right);
      }
    }
  }

  void Complete() {
    if (LeftOnItsWay() || (never_began_ && events_.empty())) return;
    if (could_not_start_) {
      if (!Has(EventType::kCouldNotStart)) Break("every_run_ends", "CouldNotStart is missing");
      return;
    }
    for (int i = kRequest; i <= kStopped; ++i) {
      const Step step = static_cast<Step>(i);
      if (MayBeMissing(step)) continue;
      if (step == kLameDuck && !DrainedByHand() && !HasLameDuck()) {
        if (!HasStep(step)) continue;
        Break("every_run_ends", Names(step),
              " after an interrupt or a handover, or without having served");
      }
      if (!HasStep(step)) Break("every_run_ends", Names(step), " is missing");
    }
    std::set<std::string> open;
    for (const auto& [user, used] : uses_) open.insert({user, used});
    for (const LoggedEvent& event : events_) {
      if (event.Is(EventType::kClosed) || event.Is(EventType::kCloseFailed))
        open.erase(event.subject);
    }
    for (const std::string& name : open) {
      Break("every_run_ends", "\"", name, "\" was not closed");
    }
  }

  bool DrainedByHand() const { return HasStep(kManualDrain); }

  bool HasLameDuck() const {
    return Has(EventType::kServing) &&
           std::any_of(events_.begin(), events_.end(), [](const LoggedEvent& event) {
             return event.Is(EventType::kShutdownRequested) &&
                    !event.detail.starts_with("interrupt") && !event.detail.starts_with("handover");
           });
  }

  static std::string Names(Step step) {
    std::string names;
    for (const EventRow& row : lifecycle::kEvents) {
      if (StepOf(row.type) == step) absl::StrAppend(&names, names.empty() ? "" : " or ", row.name);
    }
    return names;
  }

  const std::vector<LoggedEvent> all_events_;
  const std::vector<LoggedEvent> events_;  // Without what was taken back.
  const Ending ending_;
  const Uses& uses_;
  const bool watchdog_;
  const bool third_signal_;
  const bool could_not_start_;
  const bool never_began_;
  std::vector<std::string> broken_;
};

}  // namespace

std::vector<std::string> BrokenRules(const std::string& output, Ending ending, const Uses& uses) {
  return Check(output, ending, uses).Run();
}

Ending AwaitShutdown(ChildProcess& process, std::chrono::milliseconds limit, const Uses& uses) {
  const Ending ending = process.Wait(limit);
  EXPECT_THAT(process.Output(), KeepsTheOrderOfAShutdown(ending, uses));
  return ending;
}

}  // namespace testkit
