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
#include "service/lifecycle/exit_code.h"
#include "service/lifecycle/phase.h"
#include "tests/common/event_log.h"

namespace testkit {
namespace {

using lifecycle::ExitCode;
using lifecycle::Phase;

// Which events a step of the order is told by.
struct Rule {
  const char* event;
  Phase phase;
  // Events of one step have the same number; one of them is told.
  int step;
  // The code that the process leaves with at least; told as a warning unless kClean.
  ExitCode code = ExitCode::kClean;
  // Told for each of several, by name.
  bool of_each = false;
};

constexpr int kServingStep = 0;
constexpr int kDrainStep = 1;
constexpr int kRequestStep = 2;
constexpr int kLameDuckStep = 3;
constexpr int kGoodbyeStep = 5;
constexpr int kDrainedStep = 6;
constexpr int kConnectionsStep = 7;
constexpr int kSaveStep = 12;
constexpr int kCloseStep = 13;
constexpr int kStoppedStep = 14;

// The order of service/lifecycle/shutdown_sequence.h, as Main has it in
// tests/model/stop.pml; tests/architecture/words_test.py compares the three. What
// stands before it is of a start that fails.
constexpr Rule kRules[] = {
    {"CouldNotStart", Phase::kStarting, kServingStep, ExitCode::kCouldNotStart},
    {"Serving", Phase::kServing, kServingStep},
    {"DrainRequested", Phase::kServing, kDrainStep},
    {"StopRequested", Phase::kServing, kRequestStep},
    {"LameDuckEntered", Phase::kLameDuck, kLameDuckStep},
    {"ListenerClosed", Phase::kLeaving, 4},
    {"GoodbyeSaid", Phase::kLeaving, kGoodbyeStep},
    {"Drained", Phase::kLeaving, kDrainedStep},
    {"ConnectionsGone", Phase::kLeaving, kConnectionsStep},
    {"ConnectionsLeft", Phase::kLeaving, kConnectionsStep},
    {"ShutdownBegun", Phase::kDraining, 8},
    {"CallsFinished", Phase::kDraining, 9},
    {"CallsCut", Phase::kDraining, 9, ExitCode::kForced},
    {"ServerStopped", Phase::kCancelling, 10},
    {"ServerAbandoned", Phase::kCancelling, 10, ExitCode::kForced},
    {"WorkersStopped", Phase::kWorking, 11},
    {"WorkerFailed", Phase::kWorking, 11, ExitCode::kForced, true},
    {"StateSaved", Phase::kSaving, kSaveStep, ExitCode::kClean, true},
    {"SaveFailed", Phase::kSaving, kSaveStep, ExitCode::kCloseFailed, true},
    {"Closed", Phase::kClosing, kCloseStep, ExitCode::kClean, true},
    {"CloseFailed", Phase::kClosing, kCloseStep, ExitCode::kCloseFailed, true},
    {"Stopped", Phase::kStopped, kStoppedStep},
};

const Rule* RuleOf(const std::string& event) {
  const auto* found = std::find_if(std::begin(kRules), std::end(kRules),
                                   [&](const Rule& rule) { return event == rule.event; });
  return found == std::end(kRules) ? nullptr : found;
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

// Without the drains by hand that were taken back: nothing is left of each but that
// it serves again.
std::vector<LoggedEvent> WithoutWhatWasTakenBack(std::vector<LoggedEvent> events) {
  const std::vector<std::string> taken_back = {"Serving", "DrainRequested", "LameDuckEntered",
                                               "Serving"};
  while (
      std::equal(taken_back.begin(), taken_back.end(), events.begin(),
                 events.begin() + std::min(events.size(), taken_back.size()),
                 [](const auto& name, const LoggedEvent& event) { return name == event.name; })) {
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
        could_not_start_(HasLine(output, "could not start: ")),
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

  bool Has(const std::string& name) const {
    return std::any_of(events_.begin(), events_.end(),
                       [&](const LoggedEvent& event) { return event.name == name; });
  }

  bool HasStep(int step) const {
    return std::any_of(events_.begin(), events_.end(), [&](const LoggedEvent& event) {
      const Rule* rule = RuleOf(event.name);
      return rule != nullptr && rule->step == step;
    });
  }

  // The code that it leads to.
  static ExitCode CodeOf(const Rule& rule, const LoggedEvent& event) {
    // As a warning it says that it has cut somebody who came at the last moment.
    return event.name == "ServerStopped" && !event.ok ? ExitCode::kForced : rule.code;
  }

  // The process itself decided to end before the order was through.
  bool LeftOnItsWay() const {
    return ending_.how == Ending::How::kExited &&
           ending_.number >= static_cast<int>(ExitCode::kWatchdog);
  }

  void InItsPhase(const LoggedEvent& event) {
    const Rule* rule = RuleOf(event.name);
    if (rule == nullptr) return Break("IN_ITS_PHASE", event.name, " is no event of a stop");
    if (event.ok != (CodeOf(*rule, event) == ExitCode::kClean)) {
      Break("CLEAN", Described(event), event.ok ? " without a" : " as a", " warning");
    }
    if (rule->step == kRequestStep) return;
    if (PhaseOfName(event.phase) != rule->phase) {
      Break("IN_ITS_PHASE", Described(event), " in ", event.phase, " instead of ",
            PhaseName(rule->phase));
    }
  }

  // A stop is told of in the phase in which it was noticed.
  void RequestInItsPhase() {
    std::string phase = PhaseName(Phase::kStarting);
    for (const LoggedEvent& event : events_) {
      if (event.name == "StopRequested" && event.phase != phase) {
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
    std::map<int, const LoggedEvent*> told;
    std::set<std::pair<int, std::string>> named;
    const LoggedEvent* latest = nullptr;
    for (const LoggedEvent& event : events_) {
      const Rule* rule = RuleOf(event.name);
      if (rule == nullptr) continue;
      const int before_it = latest == nullptr ? kServingStep : RuleOf(latest->name)->step;
      if (rule->step == kRequestStep && DrainedByHand()) {
        // Where it notices a stop; what comes next is in order with what came before.
        if (before_it != kLameDuckStep && before_it != kGoodbyeStep && before_it != kDrainedStep) {
          Break("LISTENER_FIRST", Described(event), " after ", Described(*latest));
        }
      } else if (rule->step < before_it) {
        Break("LISTENER_FIRST", Described(event), " after ", Described(*latest));
      } else {
        latest = &event;
      }
      if (rule->step == kDrainedStep && (!DrainedByHand() || told.contains(kRequestStep))) {
        Break("LISTENER_FIRST", Described(event), " is not of a drain by hand");
      }
      if (rule->of_each && !named.emplace(rule->step, event.subject).second) {
        Break("LISTENER_FIRST", Described(event), " was told of before");
      }
      const auto [before, first] = told.emplace(rule->step, &event);
      if (!first && !(rule->of_each && RuleOf(before->second->name)->of_each)) {
        Break("LISTENER_FIRST", Described(event), " besides ", Described(*before->second));
      }
    }
  }

  void NotInUse() {
    std::map<std::string, std::size_t> closed;
    for (std::size_t at = 0; at < events_.size(); ++at) {
      const Rule* rule = RuleOf(events_[at].name);
      if (rule != nullptr && rule->step == kCloseStep) closed.emplace(events_[at].subject, at);
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
      if (event.name == "StopRequested" && event.since_stop != std::chrono::milliseconds(0)) {
        Break("TIME", "StopRequested is not at +0.000s");
      }
      if (latest && event.since_stop < latest) {
        Break("TIME", Described(event), " is earlier than what was told before it");
      }
      latest = std::max(latest, event.since_stop);
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
    if ((watchdog_ || third_signal_) && !Has("Stopped")) {
      Break("CLEAN", "last words as of one that left on its way, but exit code ", ending_.number);
    }
    if (could_not_start_ != (code == ExitCode::kCouldNotStart)) {
      Break("CLEAN", could_not_start_ ? "could not start" : "did start", ", but exit code ",
            ending_.number);
    }
    if (could_not_start_) return;
    ExitCode right = ExitCode::kClean;
    for (const LoggedEvent& event : events_) {
      if (const Rule* rule = RuleOf(event.name)) right = std::max(right, CodeOf(*rule, event));
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
      if (event.name == "Stopped" && event.detail != right) {
        Break("TOLD", "Stopped tells \"", event.detail, "\", but it was ", right);
      }
    }
  }

  void Complete() {
    if (LeftOnItsWay() || (never_began_ && events_.empty())) return;
    if (could_not_start_) {
      if (!Has("CouldNotStart")) Break("every_run_ends", "CouldNotStart is missing");
      return;
    }
    for (int step = kRequestStep; step <= kStoppedStep; ++step) {
      // Not everybody has something to save or to close, or is drained before the stop.
      if (step == kSaveStep || step == kCloseStep || step == kDrainedStep) continue;
      if (step == kLameDuckStep && !DrainedByHand() && !HasLameDuck()) {
        if (!HasStep(step)) continue;
        Break("every_run_ends", Names(step), " after an interrupt, or without having served");
      }
      if (!HasStep(step)) Break("every_run_ends", Names(step), " is missing");
    }
    std::set<std::string> open;
    for (const auto& [user, used] : uses_) open.insert({user, used});
    for (const LoggedEvent& event : events_) {
      if (event.name == "Closed" || event.name == "CloseFailed") open.erase(event.subject);
    }
    for (const std::string& name : open) {
      Break("every_run_ends", "\"", name, "\" was not closed");
    }
  }

  bool DrainedByHand() const { return HasStep(kDrainStep); }

  bool HasLameDuck() const {
    return Has("Serving") &&
           std::any_of(events_.begin(), events_.end(), [](const LoggedEvent& event) {
             return event.name == "StopRequested" && !event.detail.starts_with("interrupt");
           });
  }

  static std::string Names(int step) {
    std::string names;
    for (const Rule& rule : kRules) {
      if (rule.step == step) absl::StrAppend(&names, names.empty() ? "" : " or ", rule.event);
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

Ending AwaitStop(ChildProcess& process, std::chrono::milliseconds limit, const Uses& uses) {
  const Ending ending = process.Wait(limit);
  EXPECT_THAT(process.Output(), KeepsTheOrderOfAStop(ending, uses));
  return ending;
}

}  // namespace testkit
