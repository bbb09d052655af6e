#include "service/rpc/goodbye_signal.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <mutex>
#include <stop_token>
#include <thread>

#include "service/lifecycle/testing/fake_clock.h"

namespace rpc {
namespace {

using lifecycle::Clock;
using lifecycle::FakeClock;
using lifecycle::Patience;
using std::chrono::seconds;

// Calls that count how many of them were told.
class Calls {
 public:
  Calls(GoodbyeSignal& goodbye, int count) {
    for (int i = 0; i < count; ++i) callbacks_.emplace_back(goodbye.token(), [this] { ++told_; });
  }
  int told() const { return told_; }

 private:
  std::atomic<int> told_{0};
  std::list<std::stop_callback<std::function<void()>>> callbacks_;
};

TEST(GoodbyeSignal, ReachesEveryTokenOnce) {
  GoodbyeSignal goodbye;
  Calls calls(goodbye, 1000);
  EXPECT_EQ(calls.told(), 0);
  goodbye.Announce();
  EXPECT_EQ(calls.told(), 1000);
  goodbye.Announce();
  EXPECT_EQ(calls.told(), 1000);
}

TEST(GoodbyeSignal, ReachesATokenThatIsTakenLater) {
  GoodbyeSignal goodbye;
  EXPECT_FALSE(goodbye.token().stop_requested());
  goodbye.Announce();
  EXPECT_TRUE(goodbye.token().stop_requested());
}

TEST(GoodbyeSignal, SignalsOneGroupAfterAnother) {
  GoodbyeSignal goodbye;
  Calls calls(goodbye, 640);
  FakeClock clock;
  std::jthread announcing([&] {
    Patience patience(clock, seconds(100), {});
    goodbye.Announce(seconds(64), patience);
  });
  for (int group = 1; group <= 64; ++group) {
    clock.AwaitWaiters(1);
    EXPECT_EQ(calls.told(), group * 10);
    clock.Advance(seconds(1));
  }
}

// Stands still, too, but whoever waits is at once where it waits for.
class JumpingClock final : public Clock {
 public:
  TimePoint Now() const override { return now_; }
  bool WaitUntil(std::unique_lock<std::mutex>& /*lock*/, std::condition_variable_any& /*changed*/,
                 TimePoint deadline, std::stop_token /*interrupt*/,
                 const std::function<bool()>& done) override {
    now_ = std::max(now_, deadline);
    return done();
  }
  void Advance(Duration by) { now_ += by; }

 private:
  TimePoint now_{};
};

TEST(GoodbyeSignal, TheTimeThatCallsTakeIsPartOfThePace) {
  GoodbyeSignal goodbye;
  JumpingClock clock;
  std::list<std::stop_callback<std::function<void()>>> calls;
  for (int i = 0; i < 64; ++i) {
    calls.emplace_back(goodbye.token(), [&clock] { clock.Advance(seconds(1)); });
  }
  const Clock::TimePoint start = clock.Now();
  Patience patience(clock, seconds(1000), {});
  goodbye.Announce(seconds(2 * 64), patience);
  EXPECT_EQ(clock.Now() - start, seconds(2 * 64));
}

TEST(GoodbyeSignal, SignalsAllRemainingGroupsAtTheDeadline) {
  GoodbyeSignal goodbye;
  Calls calls(goodbye, 640);
  FakeClock clock;
  std::jthread announcing([&] {
    Patience patience(clock, seconds(10), {});
    goodbye.Announce(seconds(64 * 60), patience);
  });
  clock.AwaitWaiters(1);
  EXPECT_EQ(calls.told(), 10);
  clock.Advance(seconds(10));
  announcing.join();
  EXPECT_EQ(calls.told(), 640);
}

TEST(GoodbyePace, IsTwoThousandStreamsASecond) {
  EXPECT_EQ(GoodbyePace(0, seconds(12)), seconds(0));
  EXPECT_EQ(GoodbyePace(1, seconds(12)), std::chrono::microseconds(500));
  EXPECT_EQ(GoodbyePace(10'000, seconds(12)), seconds(5));
}

TEST(GoodbyePace, TakesHalfOfTheTimeAtMost) {
  EXPECT_EQ(GoodbyePace(12'000, seconds(12)), seconds(6));
  EXPECT_EQ(GoodbyePace(10'000'000, seconds(12)), seconds(6));
  EXPECT_EQ(GoodbyePace(10'000, seconds(0)), seconds(0));
  EXPECT_EQ(GoodbyePace(10'000, seconds(-1)), seconds(0)) << "the time is over";
}

TEST(GoodbyeSignal, DemandsAnswersApartFromTheGoodbye) {
  GoodbyeSignal goodbye;
  const std::stop_token call = goodbye.token();
  const std::stop_token answer_now = goodbye.answer_now();
  goodbye.DemandAnswers();
  EXPECT_TRUE(answer_now.stop_requested());
  EXPECT_FALSE(call.stop_requested());
  goodbye.DemandAnswers();

  GoodbyeSignal other;
  other.Announce();
  EXPECT_FALSE(other.answer_now().stop_requested());
}

}  // namespace
}  // namespace rpc
