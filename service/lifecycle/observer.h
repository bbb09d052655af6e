#ifndef SERVICE_LIFECYCLE_OBSERVER_H_
#define SERVICE_LIFECYCLE_OBSERVER_H_

#include <optional>
#include <string>

#include "service/lifecycle/call_tally.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/event.h"
#include "service/lifecycle/exit_code.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/shutdown_budget.h"

namespace lifecycle {

// How a process ends, and what no event tells.
struct End {
  ExitCode exit_code = ExitCode::kClean;
  // How the shutdown was asked for, "terminate" or "interrupt"; or "could not start", or
  // "stopped while starting".
  std::string reason{};
  // In words, when no event says it: why it could not start, what was stuck.
  std::string why{};
  // A second signal came.
  bool hurried = false;
  Clock::TimePoint requested_at{};
  Clock::TimePoint at{};
  ShutdownBudget budget{};
  CallTally calls{};
};

// Is told what happens: by the thread that makes it happen, in order.
//
// Requires of an implementation: it may be called from any thread, and returns
// soon; the shutdown waits for it.
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
