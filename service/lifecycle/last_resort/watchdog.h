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
// The problem: any lock, peer, disk, or the allocator can hang; then no step of the shutdown
// completes, and neither does whoever tries to say so. So two threads exist from the start and take
// part in nothing else. One says what is stuck when time is nearly up. The other only sleeps until
// time is up, and then ends the process without needing memory, another thread, or a lock that is
// held where anything can block.
//
// Guarantees, counted from the shutdown request:
// * After `until_expired`, `on_expired` is called, and the process ends with kWatchdog when it
//   returns.
// * After `until_exit`, the process ends, whatever hangs by then.
// * Both hold even after the object is destroyed, which covers the destructors of static objects;
//   then a short message replaces `on_expired`.
//
// Time keeps running while the process is stopped (SIGSTOP). One that goes on only after its end has
// not said yet what is stuck: it gets the time between the two once more, and only once.
//
// Lifetime: the destructor calls the watchdog off if there was no request, waits for `on_expired`
// if that has begun, and otherwise leaves the watchdog running until another one is created in the
// process.
class Watchdog {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;

  // Blocks until a shutdown is requested and returns when that was; returns nothing once a stop is
  // requested on `interrupt`.
  using AwaitRequest = std::function<std::optional<TimePoint>(std::stop_token interrupt)>;

  // `await` is called once, on a thread of its own, and not used after the destructor has returned.
  // `on_expired` must not wait for a lock that anybody may hold where anything can block. Throws
  // std::system_error when a thread cannot be created.
  Watchdog(AwaitRequest await, Duration until_expired, Duration until_exit,
           std::function<void()> on_expired);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // Ends the process at `end` with `code`, unless it ends earlier. Returns at once. For a thread
  // that exits but first wants to say something, which may hang, too.
  void ExitBy(TimePoint end, ExitCode code);

 private:
  struct State;

  const std::shared_ptr<State> state_;  // Shared with the threads.
  std::thread exits_;
  std::thread speaks_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_LAST_RESORT_WATCHDOG_H_
