#ifndef SERVICE_LIFECYCLE_TESTING_FAKE_CLOCK_H_
#define SERVICE_LIFECYCLE_TESTING_FAKE_CLOCK_H_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <stop_token>

#include "service/lifecycle/clock.h"

namespace lifecycle {

// A clock that stands still until the test advances it.
//
// Guarantees: a waiter whose deadline is reached returns without any other notification. Waiting
// for a state ("two threads are waiting") needs no sleep.
//
// Lifetime: outlives every thread that waits in it.
class FakeClock final : public Clock {
 public:
  TimePoint Now() const override { return now_; }
  bool WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed,
                 TimePoint deadline, std::stop_token interrupt,
                 const std::function<bool()>& done) override;

  // Advances the time and wakes everyone whose deadline is reached.
  void Advance(Duration by);

  // Blocks until at least `count` threads wait in this clock and will keep waiting until the test
  // or another thread does something: what they wait for is not done, the deadline is in the
  // future, and no interrupt is requested. This is how a test holds a thread between two steps.
  void AwaitWaiters(std::size_t count);

  // How many threads are waiting like that, and the earliest of their deadlines; TimePoint::max()
  // when there is none.
  struct Waiting {
    std::size_t threads = 0;
    TimePoint until = TimePoint::max();
  };
  Waiting Look();

 private:
  struct Waiter {
    std::mutex* mutex;
    std::condition_variable_any* changed;
    TimePoint deadline;
    std::stop_token interrupt;
    const std::function<bool()>* done;  // Called with *mutex held.
  };

  bool Waits(const Waiter& waiter) const;
  Waiting LookLocked() const;  // Requires mutex_.

  std::atomic<TimePoint> now_{TimePoint(std::chrono::hours(1))};
  std::mutex mutex_;
  std::condition_variable waiters_changed_;
  std::list<Waiter> waiters_;  // Guarded by mutex_.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TESTING_FAKE_CLOCK_H_
