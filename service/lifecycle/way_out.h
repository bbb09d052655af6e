#ifndef SERVICE_LIFECYCLE_WAY_OUT_H_
#define SERVICE_LIFECYCLE_WAY_OUT_H_

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/event.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/lifecycle/shutdown_request.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {

// The end of a process: tells the observer how it ends, and ends it.
//
// The problem: while main comes to its end, the watchdog may bite and a third signal
// may come, each on a thread of its own; and telling may hang, as everything may.
//
// Guarantees: one thread at a time tells an end, and the last that is told is how the
// process ends. Who leaves at once does not wait for another for long.
//
// Threads: Serves(), CouldNotStart() and Return() on main's; Leave() on any.
// Lifetime: what it is given outlives it; a traffic, until Return() has returned.
class WayOut {
 public:
  WayOut(const ShutdownBudget& budget, const ShutdownRequest& request, Clock& clock,
         Observer& observer);

  // From now on the end is told with the shutdown's reason and `traffic`'s tally; until then,
  // as "stopped while starting".
  void Serves(const Traffic& traffic);

  // From now on the end is told as "could not start".
  void CouldNotStart();

  // Tells that main returns with `code`, and returns that; when something was abandoned,
  // ends the process here. `why`: as in End. Requires: a shutdown was requested.
  int Return(ExitCode code, std::string why, bool abandoned);

  // Ends the process here, and tells that before, unless somebody hangs in telling
  // another end. Without a request to stop it is told as a failure.
  [[noreturn]] void Leave(ExitCode code, std::string why);

 private:
  // Between these two a thread is the only one. False: another one was for all of
  // `limit`; unset: waits for it.
  bool BeginTelling(std::optional<Clock::Duration> limit = std::nullopt);
  void EndTelling();
  // Requires: the only one.
  void Tell(ExitCode code, std::string why);

  const ShutdownBudget budget_;
  const ShutdownRequest& request_;
  Clock& clock_;
  Observer& observer_;
  std::atomic<const char*> start_{"stopped while starting"};  // Null: it serves, or has.
  std::atomic<const Traffic*> traffic_{nullptr};  // Asked by the only one; null: there is none.
  CallTally tally_;                               // The last that was had, by the only one.

  std::mutex mutex_;
  std::condition_variable ended_;
  bool telling_ = false;  // Guarded by mutex_.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_WAY_OUT_H_
