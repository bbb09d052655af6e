#ifndef SERVICE_LIFECYCLE_LAST_RESORT_WATCHDOG_H_
#define SERVICE_LIFECYCLE_LAST_RESORT_WATCHDOG_H_

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>

#include "service/lifecycle/last_resort/exit_code.h"

namespace lifecycle {

// Ends a shutdown that does not end by itself, in main or after it.
//
// The problem: any lock, any peer, any disk, the allocator can hang, and then nothing that
// a shutdown does in order comes to its end, nor does what somebody says about it. So there are
// two threads from the beginning, which take part in nothing else. One says what is stuck
// when the time is nearly over. The other does nothing but sleep until it is over, and then
// ends the process: without a lock, memory or another thread.
//
// Guarantees, from the request for a shutdown on:
//  * After `until_expired`, `on_expired` is called, and the process ends with kWatchdog when
//    it returns.
//  * After `until_exit` the process ends, whatever hangs by then.
//  * Both hold after the object is gone as well, which covers the destructors of static
//    objects; a few words of its own then stand for `on_expired`. Time goes on while the
//    process is frozen (SIGSTOP).
//
// Lifetime: the destructor calls it off when there was no request, waits for `on_expired` when
// that has begun, and otherwise lets it go on by itself, until there is another Watchdog in the
// process.
class Watchdog {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;

  // Blocks until a shutdown is requested, and returns when that was; returns nothing once
  // `interrupt` is.
  using AwaitRequest = std::function<std::optional<TimePoint>(std::stop_token interrupt)>;

  // `await` is called once, on a thread of its own, and not used any more when the destructor
  // has returned. `on_expired` must wait for no lock that anybody may hold where anything can
  // block. Throws std::system_error when no thread is to be had.
  Watchdog(AwaitRequest await, Duration until_expired, Duration until_exit,
           std::function<void()> on_expired);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Ends the process at `end` with `code`, unless it is to end before. Returns at once. For
  // whoever leaves and has something to say before: the words may hang, too.
  void ExitBy(TimePoint end, ExitCode code);

 private:
  struct State;

  const std::shared_ptr<State> state_;  // Of the threads, too.
  std::thread exits_;
  std::thread speaks_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_WATCHDOG_H_
