#ifndef SERVICE_LIFECYCLE_EXIT_REPORTER_H_
#define SERVICE_LIFECYCLE_EXIT_REPORTER_H_

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

// Ends a process, after reporting to the observer how it ends.
//
// The problem: while main returns, the watchdog may fire and a third signal may arrive, each on its
// own thread; and reporting may hang, like everything else.
//
// Guarantees: one thread at a time reports an end, and the end reported last is how the process
// ends. A thread that must exit at once does not wait for another for long.
//
// Threads: Serves(), CouldNotStart() and Return() on main's thread; Leave() on any.
// Lifetime: everything passed in outlives it; a traffic must outlive Return().
class ExitReporter {
 public:
  ExitReporter(const ShutdownBudget& budget, const ShutdownRequest& request, Clock& clock,
               Observer& observer);

  // From now on the end is reported with the shutdown's reason and `traffic`'s tally; until then,
  // as "stopped while starting".
  void Serves(const Traffic& traffic);

  // From now on the end is reported as "could not start".
  void CouldNotStart();

  // Reports that main returns `code`, and returns it; when something was abandoned, exits here
  // instead. `why`: as in End. Requires: a shutdown was requested.
  int Return(ExitCode code, std::string why, bool abandoned);

  // Reports the end and exits here; only says so on stderr if another thread hangs in reporting its
  // own. Without a shutdown request the end is reported as a failure.
  [[noreturn]] void Leave(ExitCode code, std::string why);

 private:
  // Between these two calls a thread has exclusive access. False: another thread had it for all of
  // `limit`; unset: waits without a limit.
  bool BeginTelling(std::optional<Clock::Duration> limit = std::nullopt);
  void EndTelling();
  // Requires: exclusive access.
  void Emit(ExitCode code, std::string why);

  const ShutdownBudget budget_;
  const ShutdownRequest& request_;
  Clock& clock_;
  Observer& observer_;
  std::atomic<const char*> start_{"stopped while starting"};  // Null: it serves or has served.
  std::atomic<const Traffic*> traffic_{nullptr};  // Read with exclusive access; null: none yet.
  CallTally tally_;                               // The last one read, with exclusive access.

  std::mutex mutex_;
  std::condition_variable ended_;
  bool telling_ = false;  // Guarded by mutex_.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_EXIT_REPORTER_H_
