#ifndef SERVICE_LIFECYCLE_CLOCK_H_
#define SERVICE_LIFECYCLE_CLOCK_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>

namespace lifecycle {

// Time, and waiting for it. All waiting of a shutdown's phases goes through a Clock, so that tests can
// control time.
//
// Threads: all methods may be called from any thread.
class Clock {
 public:
  // Monotonic: changing the wall clock moves no deadline.
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;

  virtual ~Clock() = default;

  virtual TimePoint Now() const = 0;

  // Blocks until `done()` is true, `deadline` has passed, or a stop is requested on `interrupt`,
  // whichever comes first. Returns `done()`.
  //
  // Requires: `lock` is held, on the mutex that guards what `done` reads; whoever makes `done` true
  // notifies `changed`. `done` is called with `lock` held.
  virtual bool WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed,
                         TimePoint deadline, std::stop_token interrupt,
                         const std::function<bool()>& done) = 0;

  // The system's monotonic clock. Never destroyed.
  static Clock& Steady();
};

// For a sum with a time, which a longer duration, such as max(), would overflow: it would lie in the
// past.
template <typename Duration>
constexpr Duration AtMostAYear(Duration duration) {
  return std::min<Duration>(duration, std::chrono::hours(24 * 365));
}

// When to give up on what was due at `due` and has not ended by `now`: as much later as that was
// noticed late, within limits. The process was suspended (SIGSTOP, a frozen cgroup) or got no CPU
// time, and so did what it waits for.
Clock::TimePoint CatchUp(Clock::TimePoint due, Clock::TimePoint now);

// How long one phase of a shutdown still waits: until its deadline or, once the shutdown is
// expedited, only for a short moment more. A deadline that is noticed late moves once, by
// CatchUp().
//
// Threads: one.
class Patience {
 public:
  // What every remaining wait shrinks to when expedited: long enough for anything that ends at
  // once.
  static constexpr Clock::Duration kExpedited = std::chrono::milliseconds(250);
  // Poll() starts with the short interval, so that something that is done at once does not wait for
  // the long one.
  static constexpr Clock::Duration kFirstPollInterval = std::chrono::microseconds(50);
  static constexpr Clock::Duration kPollInterval = std::chrono::milliseconds(1);

  // `budget`: max(): there is no deadline. `expedited`: how long that moment is.
  Patience(Clock& clock, Clock::Duration budget, std::stop_token expedite,
           Clock::Duration expedited = kExpedited);

  // Blocks until `done()` is true, the deadline has passed, or `sooner` is reached; returns
  // `done()`. Requires what Clock::WaitUntil() requires.
  bool Wait(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed,
            const std::function<bool()>& done, Clock::TimePoint sooner = Clock::TimePoint::max());

  // The same for a state that notifies nobody: checks it repeatedly.
  bool Poll(const std::function<bool()>& done);

  // Blocks until the deadline, whatever happens.
  void Exhaust() { Pause(Clock::Duration::max()); }

  // Blocks for `duration`, or until the deadline if that is sooner.
  void Pause(Clock::Duration duration);

  // Whether waiting has ended.
  bool Over();

  // When waiting ends; moves forward when the shutdown is expedited.
  Clock::TimePoint deadline() const { return deadline_; }

  Clock& clock() const { return clock_; }

 private:
  // Checks whether the shutdown was expedited: true when that has brought the deadline forward.
  bool Expedited();

  Clock& clock_;
  const std::stop_token expedite_;
  const Clock::Duration moment_;
  Clock::TimePoint deadline_;
  bool expedited_ = false;
  bool caught_up_;  // The deadline has been noticed.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_CLOCK_H_
