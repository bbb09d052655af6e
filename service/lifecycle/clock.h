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

// How long one phase of a shutdown still waits: until its deadline, or, once
// somebody is in a hurry, for a moment more and no longer.
//
// Threads: one.
class Patience {
 public:
  // What every remaining wait shrinks to: long enough for what ends at once.
  static constexpr Clock::Duration kHurried = std::chrono::milliseconds(250);
  // How often Poll() looks; what is done at once must not wait so long, so it begins with
  // less.
  static constexpr Clock::Duration kFirstPollInterval = std::chrono::microseconds(50);
  static constexpr Clock::Duration kPollInterval = std::chrono::milliseconds(1);

  // `hurried`: how long that moment is.
  Patience(Clock& clock, Clock::Duration budget, std::stop_token hurry,
           Clock::Duration hurried = kHurried);

  // Blocks until `done()` is true, or patience is over, or `sooner` has come;
  // returns `done()`. Requires what Clock::WaitUntil() requires.
  bool Wait(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed,
            const std::function<bool()>& done, Clock::TimePoint sooner = Clock::TimePoint::max());

  // The same for a state that notifies nobody: looks at it again and again.
  bool Poll(const std::function<bool()>& done);

  // Blocks until patience is over, whatever happens.
  void Exhaust() { Pause(Clock::Duration::max()); }

  // Blocks for `duration`, or until patience is over.
  void Pause(Clock::Duration duration);

  // When patience is over; earlier once there is a hurry.
  Clock::TimePoint deadline() const { return deadline_; }

  Clock& clock() const { return clock_; }

 private:
  // Takes note of a hurry: true when that has brought the deadline forward.
  bool Hurried();

  Clock& clock_;
  const std::stop_token hurry_;
  const Clock::Duration moment_;
  Clock::TimePoint deadline_;
  bool hurried_ = false;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_CLOCK_H_
