#ifndef SERVICE_LIFECYCLE_OBSERVER_H_
#define SERVICE_LIFECYCLE_OBSERVER_H_

#include <optional>
#include <string>

#include "service/lifecycle/call_tally.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/exit_code.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/stop_budget.h"

namespace lifecycle {

// One thing that has happened on the way of a process from start to stop.
struct Event {
  // A past fact, "ListenerClosed", one word for logs, reports and tests alike.
  // The whole list, in order: shutdown_sequence.h.
  std::string name{};
  // What it happened to, where there are several: a closer's or a worker's name.
  std::string subject{};
  // For a person to read; no program depends on it.
  std::string detail{};
  // The phase in which it happened.
  Phase phase = Phase::kStarting;
  // False: a person should look at this (something was forced, or failed).
  bool ok = true;
  Clock::TimePoint at{};
  // Of what was closed or saved: how long it took, and whether it was passed over,
  // because it had not returned in its time.
  Clock::Duration took{};
  bool passed_over = false;
};

// How a process ends, and what no event tells.
struct End {
  ExitCode exit_code = ExitCode::kClean;
  // How the stop was asked for, "terminate" or "interrupt"; or "could not start", or
  // "stopped while starting".
  std::string reason{};
  // In words, when no event says it: why it could not start, what was stuck.
  std::string why{};
  // A second signal came.
  bool hurried = false;
  Clock::TimePoint requested_at{};
  Clock::TimePoint at{};
  StopBudget budget{};
  CallTally calls{};
};

// Is told what happens: by the thread that makes it happen, in order.
//
// Requires of an implementation: it may be called from any thread, and returns
// soon; the stop waits for it.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnEvent(const Event& event) = 0;

  // A phase begins that may take `budget`; unset: it has no limit. The one before it
  // has ended.
  virtual void OnPhase(Phase /*phase*/, Clock::TimePoint /*at*/,
                       std::optional<Clock::Duration> /*budget*/) {}

  // The process leaves with this code. Nothing is told after it, unless even leaving
  // hangs: then it is told again, and the last counts.
  //
  // When main tells it, every other thing has been told. When the watchdog or the third
  // signal does, another thread may hang in OnEvent(): whoever implements it waits for no
  // lock that is held where anything can block, and for nothing longer than a quarter of
  // `end.budget.reserve`.
  virtual void OnEnd(const End& /*end*/) {}
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_OBSERVER_H_
