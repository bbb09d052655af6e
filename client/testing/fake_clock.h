#ifndef CLIENT_TESTING_FAKE_CLOCK_H_
#define CLIENT_TESTING_FAKE_CLOCK_H_

#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "client/clock.h"

namespace client {

// A clock in which every sleep ends at once and is recorded.
class FakeClock final : public Clock {
 public:
  TimePoint Now() const override {
    const std::lock_guard lock(mutex_);
    return now_;
  }

  void Sleep(Duration duration, std::stop_token) override {
    if (on_sleep_) on_sleep_();
    const std::lock_guard lock(mutex_);
    now_ += duration;
    sleeps_.push_back(duration);
  }

  void Advance(Duration duration) {
    const std::lock_guard lock(mutex_);
    now_ += duration;
  }

  // Called at the beginning of each sleep. Set before the clock is used.
  void OnSleep(std::function<void()> on_sleep) { on_sleep_ = std::move(on_sleep); }

  std::vector<Duration> sleeps() const {
    const std::lock_guard lock(mutex_);
    return sleeps_;
  }

 private:
  std::function<void()> on_sleep_;
  mutable std::mutex mutex_;
  TimePoint now_{std::chrono::hours(1)};  // Guarded by mutex_.
  std::vector<Duration> sleeps_;          // Guarded by mutex_.
};

}  // namespace client

#endif  // CLIENT_TESTING_FAKE_CLOCK_H_
