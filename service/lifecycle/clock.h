#ifndef SERVICE_LIFECYCLE_CLOCK_H_
#define SERVICE_LIFECYCLE_CLOCK_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>

namespace lifecycle {

// Time, and waiting for it: the one door through which everything in this room
// waits, so that a test can hold time still.
//
// Threads: all methods may be called from any thread.
class Clock {
 public:
  // Monotonic: a change of the wall clock moves no deadline.
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;

  virtual ~Clock() = default;

  virtual TimePoint Now() const = 0;

  // Blocks until `done()` is true, `deadline` has passed, or a stop is requested
  // of `interrupt`, whichever is first. Returns `done()`.
  //
  // Requires: `lock` is held, on the mutex that guards what `done` reads; whoever
  // makes `done` true notifies `changed`. `done` is called with `lock` held.
  virtual bool WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed,
                         TimePoint deadline, std::stop_token interrupt,
                         const std::function<bool()>& done) = 0;

  // The machine's clock. Never destroyed.
  static Clock& Steady();
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_CLOCK_H_
