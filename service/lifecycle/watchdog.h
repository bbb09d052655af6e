#ifndef SERVICE_LIFECYCLE_WATCHDOG_H_
#define SERVICE_LIFECYCLE_WATCHDOG_H_

#include <functional>
#include <memory>
#include <thread>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/exit_code.h"
#include "service/lifecycle/shutdown_request.h"

namespace lifecycle {

// Ends a shutdown that does not end by itself, in main or after it.
//
// The problem: any lock, any peer, any disk, the allocator can hang, and then nothing that
// a shutdown does in order comes to its end, nor does what somebody says about it. So there are
// two threads from the beginning, which take part in nothing else. One says what is stuck
// when the time is nearly over. The other does nothing but sleep until it is over, and then
// ends the process: without a lock, memory or another thread.
//
// Guarantees, from the request to stop on:
//  * After `until_expired`, `on_expired` is called, and the process ends with kWatchdog when
//    it returns.
//  * After `until_exit` the process ends, whatever hangs by then.
//  * Both hold after the object is gone as well, which covers the destructors of static
//    objects; a few words of its own then stand for `on_expired`. Time goes on while the
//    process is frozen (SIGSTOP).
//
// Lifetime: `request` keeps Clock::Steady() and outlives it. The destructor calls it off when
// there was no request, waits for `on_expired` when that has begun, and otherwise lets it go
// on by itself, until there is another Watchdog in the process.
class Watchdog {
 public:
  // `on_expired` must wait for no lock that anybody may hold where anything can block.
  // Throws std::system_error when no thread is to be had.
  Watchdog(ShutdownRequest& request, Clock::Duration until_expired, Clock::Duration until_exit,
           std::function<void()> on_expired);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Ends the process at `end` with `code`, unless it is to end before. Returns at once. For
  // whoever leaves and has something to say before: the words may hang, too.
  void ExitBy(Clock::TimePoint end, ExitCode code);

 private:
  struct State;

  ShutdownRequest& request_;
  const std::shared_ptr<State> state_;  // Of the threads, too.
  std::thread exits_;
  std::thread speaks_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_WATCHDOG_H_
