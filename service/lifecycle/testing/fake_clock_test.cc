#include "service/lifecycle/testing/fake_clock.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <stop_token>
#include <thread>

namespace lifecycle {
namespace {

using std::chrono::seconds;

// A thread that waits in the clock, and what its wait returned.
class Waiting {
 public:
  Waiting(FakeClock& clock, Clock::Duration how_long)
      : result_(std::async(std::launch::async, [this, &clock, how_long] {
          std::unique_lock lock(mutex_);
          return clock.WaitUntil(lock, changed_, clock.Now() + how_long, interrupt_.get_token(),
                                 [this] { return done_; });
        })) {}

  void Finish() {
    std::lock_guard lock(mutex_);
    done_ = true;
    changed_.notify_all();
  }
  void Interrupt() { interrupt_.request_stop(); }
  bool Result() { return result_.get(); }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::stop_source interrupt_;
  bool done_ = false;
  std::future<bool> result_;
};

TEST(FakeClock, StandsStillUntilAdvanced) {
  FakeClock clock;
  const Clock::TimePoint before = clock.Now();
  EXPECT_EQ(clock.Now(), before);
  clock.Advance(seconds(3));
  EXPECT_EQ(clock.Now(), before + seconds(3));
}

TEST(FakeClock, WakesAWaiterAtItsDeadline) {
  FakeClock clock;
  Waiting waiting(clock, seconds(2));
  clock.AwaitWaiters(1);
  clock.Advance(seconds(2));
  EXPECT_FALSE(waiting.Result());
}

TEST(FakeClock, DoesNotWakeAWaiterBeforeItsDeadline) {
  FakeClock clock;
  Waiting waiting(clock, seconds(2));
  clock.AwaitWaiters(1);
  clock.Advance(seconds(1));
  clock.AwaitWaiters(1);
  clock.Advance(seconds(1));
  EXPECT_FALSE(waiting.Result());
}

TEST(FakeClock, ReportsHowManyWaitAndUntilWhen) {
  FakeClock clock;
  EXPECT_EQ(clock.Look().threads, 0u);
  EXPECT_EQ(clock.Look().until, Clock::TimePoint::max());
  Waiting one(clock, seconds(2));
  Waiting other(clock, seconds(5));
  clock.AwaitWaiters(2);
  EXPECT_EQ(clock.Look().threads, 2u);
  EXPECT_EQ(clock.Look().until, clock.Now() + seconds(2));
  clock.Advance(seconds(2));
  EXPECT_EQ(clock.Look().threads, 1u) << "the other goes on";
  EXPECT_EQ(clock.Look().until, clock.Now() + seconds(3));
  clock.Advance(seconds(3));
}

TEST(FakeClock, WakesAWaiterThatIsDone) {
  FakeClock clock;
  Waiting waiting(clock, seconds(2));
  clock.AwaitWaiters(1);
  waiting.Finish();
  EXPECT_TRUE(waiting.Result());
}

TEST(FakeClock, WakesAWaiterThatIsInterrupted) {
  FakeClock clock;
  Waiting waiting(clock, seconds(2));
  clock.AwaitWaiters(1);
  waiting.Interrupt();
  EXPECT_FALSE(waiting.Result());
}

TEST(FakeClock, DoesNotCountAReturningWaiter) {
  FakeClock clock;
  std::mutex mutex;
  std::condition_variable_any changed;
  std::stop_source interrupt;
  bool done = false;
  bool looked = false;
  // Waits anew when it is interrupted, as Patience does: AwaitWaiters() must not
  // take the first wait for the second.
  std::jthread twice([&] {
    std::unique_lock lock(mutex);
    const auto is_done = [&] { return done; };
    const Clock::TimePoint far = clock.Now() + seconds(9);
    clock.WaitUntil(lock, changed, far, interrupt.get_token(), is_done);
    looked = true;
    clock.WaitUntil(lock, changed, far, {}, is_done);
  });
  clock.AwaitWaiters(1);
  interrupt.request_stop();
  clock.AwaitWaiters(1);
  std::lock_guard lock(mutex);
  EXPECT_TRUE(looked);
  done = true;
  changed.notify_all();
}

TEST(FakeClock, AwaitsSeveralWaiters) {
  FakeClock clock;
  Waiting one(clock, seconds(1));
  Waiting two(clock, seconds(2));
  clock.AwaitWaiters(2);
  clock.Advance(seconds(2));
  EXPECT_FALSE(one.Result());
  EXPECT_FALSE(two.Result());
}

}  // namespace
}  // namespace lifecycle
