#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>
#include <stop_token>
#include <thread>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/testing/fake_clock.h"

namespace lifecycle {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Waits with `patience`, on a thread of its own, for something that never comes.
std::future<bool> WaitInVain(Patience& patience,
                             Clock::TimePoint sooner = Clock::TimePoint::max()) {
  return std::async(std::launch::async, [&patience, sooner] {
    std::mutex mutex;
    std::condition_variable_any changed;
    std::unique_lock lock(mutex);
    return patience.Wait(
        lock, changed, [] { return false; }, sooner);
  });
}

TEST(Patience, EndsWithItsBudget) {
  FakeClock clock;
  Patience patience(clock, seconds(4), {});
  EXPECT_EQ(patience.deadline(), clock.Now() + seconds(4));
  std::future<bool> wait = WaitInVain(patience);
  clock.AwaitWaiters(1);
  clock.Advance(seconds(3));
  clock.AwaitWaiters(1);
  clock.Advance(seconds(1));
  EXPECT_FALSE(wait.get());
}

TEST(Patience, WithoutALimitDoesNotEnd) {
  FakeClock clock;
  Patience patience(clock, Clock::Duration::max(), {});
  EXPECT_EQ(patience.deadline(), Clock::TimePoint::max());
  EXPECT_FALSE(patience.Over());
}

TEST(Patience, EndsWhenDone) {
  FakeClock clock;
  Patience patience(clock, seconds(4), {});
  std::mutex mutex;
  std::condition_variable_any changed;
  bool done = false;
  std::jthread other([&] {
    clock.AwaitWaiters(1);
    std::lock_guard lock(mutex);
    done = true;
    changed.notify_all();
  });
  std::unique_lock lock(mutex);
  EXPECT_TRUE(patience.Wait(lock, changed, [&] { return done; }));
}

TEST(Patience, EndsSoonerWhenAskedTo) {
  FakeClock clock;
  Patience patience(clock, seconds(4), {});
  std::future<bool> wait = WaitInVain(patience, clock.Now() + seconds(1));
  clock.AwaitWaiters(1);
  clock.Advance(seconds(1));
  EXPECT_FALSE(wait.get());
}

TEST(Patience, ShrinksWhenExpeditedWhileWaiting) {
  FakeClock clock;
  std::stop_source expedite;
  Patience patience(clock, seconds(4), expedite.get_token());
  std::future<bool> wait = WaitInVain(patience);
  clock.AwaitWaiters(1);
  clock.Advance(seconds(1));
  const Clock::TimePoint expedited_at = clock.Now();
  expedite.request_stop();
  clock.AwaitWaiters(1);
  clock.Advance(Patience::kExpedited);
  EXPECT_FALSE(wait.get());
  EXPECT_EQ(patience.deadline(), expedited_at + Patience::kExpedited);
}

TEST(Patience, IsShortFromTheStartWhenAlreadyExpedited) {
  FakeClock clock;
  std::stop_source expedite;
  expedite.request_stop();
  Patience patience(clock, seconds(4), expedite.get_token());
  EXPECT_EQ(patience.deadline(), clock.Now() + Patience::kExpedited);
  std::future<bool> wait = WaitInVain(patience);
  clock.AwaitWaiters(1);
  clock.Advance(Patience::kExpedited);
  EXPECT_FALSE(wait.get());
}

TEST(Patience, IsNeverExtendedByExpediting) {
  FakeClock clock;
  std::stop_source expedite;
  Patience patience(clock, milliseconds(3), expedite.get_token());
  const Clock::TimePoint deadline = patience.deadline();
  std::future<bool> wait = WaitInVain(patience);
  clock.AwaitWaiters(1);
  expedite.request_stop();
  clock.AwaitWaiters(1);
  clock.Advance(milliseconds(3));
  EXPECT_FALSE(wait.get());
  EXPECT_EQ(patience.deadline(), deadline);
}

TEST(Patience, ShrinksOnlyOnce) {
  FakeClock clock;
  std::stop_source expedite;
  Patience patience(clock, seconds(4), expedite.get_token());
  expedite.request_stop();
  const Clock::TimePoint expedited_at = clock.Now();
  for (int i = 0; i < 2; ++i) {
    std::future<bool> wait = WaitInVain(patience, expedited_at + (i + 1) * milliseconds(10));
    clock.AwaitWaiters(1);
    clock.Advance(milliseconds(10));
    EXPECT_FALSE(wait.get());
  }
  EXPECT_EQ(patience.deadline(), expedited_at + Patience::kExpedited);
}

TEST(Patience, PollsWithoutANotification) {
  FakeClock clock;
  Patience patience(clock, seconds(4), {});
  std::atomic<bool> done = false;
  std::future<bool> poll =
      std::async(std::launch::async, [&] { return patience.Poll([&] { return done.load(); }); });
  clock.AwaitWaiters(1);
  clock.Advance(Patience::kPollInterval);
  clock.AwaitWaiters(1);
  done = true;
  clock.Advance(Patience::kPollInterval);
  EXPECT_TRUE(poll.get());
}

TEST(Patience, PollsOnceMoreAtTheDeadline) {
  FakeClock clock;
  Patience patience(clock, seconds(0), {});
  EXPECT_TRUE(patience.Poll([] { return true; }));
  EXPECT_FALSE(patience.Poll([] { return false; }));
}

TEST(Patience, CatchesUpWithADeadlineNoticedLate) {
  FakeClock clock;
  Patience waiting(clock, seconds(4), {}), polling(clock, seconds(4), {});
  std::future<bool> wait = WaitInVain(waiting);
  std::future<bool> poll =
      std::async(std::launch::async, [&] { return polling.Poll([] { return false; }); });
  clock.AwaitWaiters(2);
  clock.Advance(seconds(4) + milliseconds(50));
  clock.AwaitWaiters(2);
  EXPECT_EQ(waiting.deadline(), clock.Now() + milliseconds(50));
  clock.Advance(milliseconds(50));
  EXPECT_FALSE(wait.get());
  EXPECT_FALSE(poll.get());
  EXPECT_EQ(polling.deadline(), clock.Now());
}

TEST(Patience, CatchesUpOnceAndNotForLong) {
  FakeClock clock;
  Patience patience(clock, seconds(4), {});
  clock.Advance(seconds(60));
  EXPECT_FALSE(patience.Over());
  EXPECT_EQ(patience.deadline(), clock.Now() + milliseconds(200));
  clock.Advance(seconds(60));
  EXPECT_TRUE(patience.Over());
}

TEST(Patience, CatchesUpNothingWhereItHadNoTime) {
  FakeClock clock;
  Patience patience(clock, seconds(0), {});
  clock.Advance(seconds(1));
  EXPECT_TRUE(patience.Over());
}

TEST(Patience, StopsPollingSoonWhenExpedited) {
  FakeClock clock;
  std::stop_source expedite;
  Patience patience(clock, seconds(4), expedite.get_token());
  std::future<bool> poll =
      std::async(std::launch::async, [&] { return patience.Poll([] { return false; }); });
  clock.AwaitWaiters(1);
  expedite.request_stop();
  clock.Advance(Patience::kPollInterval);  // It notices the request.
  clock.AwaitWaiters(1);
  clock.Advance(Patience::kExpedited);
  EXPECT_FALSE(poll.get());
}

TEST(Patience, EndsAtOnceWhenExpeditedWithoutAnyTime) {
  FakeClock clock;
  std::stop_source expedite;
  Patience patience(clock, seconds(4), expedite.get_token(), seconds(0));
  std::future<bool> wait = WaitInVain(patience);
  clock.AwaitWaiters(1);
  expedite.request_stop();
  EXPECT_FALSE(wait.get());
  EXPECT_FALSE(patience.Poll([] { return false; }));
  EXPECT_EQ(patience.deadline(), clock.Now());
}

TEST(Patience, IsExhaustedWhateverHappens) {
  FakeClock clock;
  Patience patience(clock, seconds(4), {});
  std::future<void> exhausted = std::async(std::launch::async, [&] { patience.Exhaust(); });
  clock.AwaitWaiters(1);
  clock.Advance(seconds(4));
  exhausted.get();
}

}  // namespace
}  // namespace lifecycle
