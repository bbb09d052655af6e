#include "service/lifecycle/clock.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <thread>

namespace lifecycle {
namespace {

using std::chrono::milliseconds;

class SteadyClock : public testing::Test {
 protected:
  Clock& clock_ = Clock::Steady();
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::unique_lock<std::mutex> lock_{mutex_};
};

TEST_F(SteadyClock, ReturnsTrueWhenDoneWhileWaiting) {
  bool done = false;
  std::jthread other([&] {
    std::lock_guard lock(mutex_);
    done = true;
    changed_.notify_all();
  });
  EXPECT_TRUE(clock_.WaitUntil(lock_, changed_, Clock::TimePoint::max(), {}, [&] { return done; }));
  EXPECT_TRUE(lock_.owns_lock());
  lock_.unlock();
}

TEST_F(SteadyClock, ReturnsFalseWhenTheDeadlinePasses) {
  const Clock::TimePoint deadline = clock_.Now() + milliseconds(1);
  EXPECT_FALSE(clock_.WaitUntil(lock_, changed_, deadline, {}, [] { return false; }));
  EXPECT_GE(clock_.Now(), deadline);
  EXPECT_TRUE(lock_.owns_lock());
}

TEST_F(SteadyClock, ReturnsFalseWhenInterruptedWhileWaiting) {
  std::stop_source interrupt;
  std::jthread other([&] { interrupt.request_stop(); });
  EXPECT_FALSE(clock_.WaitUntil(lock_, changed_, Clock::TimePoint::max(), interrupt.get_token(),
                                [] { return false; }));
  EXPECT_TRUE(lock_.owns_lock());
}

TEST_F(SteadyClock, DoesNotWaitWhenInterruptedBefore) {
  std::stop_source interrupt;
  interrupt.request_stop();
  EXPECT_FALSE(clock_.WaitUntil(lock_, changed_, Clock::TimePoint::max(), interrupt.get_token(),
                                [] { return false; }));
  EXPECT_TRUE(clock_.WaitUntil(lock_, changed_, Clock::TimePoint::max(), interrupt.get_token(),
                               [] { return true; }));
}

}  // namespace
}  // namespace lifecycle
