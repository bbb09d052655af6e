#include "service/lifecycle/shutdown_request.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "service/lifecycle/testing/fake_clock.h"

namespace lifecycle {
namespace {

using std::chrono::seconds;

TEST(ShutdownRequest, IsNotRequestedAtFirst) {
  FakeClock clock;
  ShutdownRequest request(clock);
  EXPECT_FALSE(request.requested().stop_requested());
  EXPECT_FALSE(request.expedited().stop_requested());
}

TEST(ShutdownRequest, KeepsTheFirstReasonAndTime) {
  FakeClock clock;
  ShutdownRequest request(clock);
  const Clock::TimePoint first = clock.Now();
  EXPECT_TRUE(request.Request(ShutdownReason::kInterrupt));
  clock.Advance(seconds(1));
  EXPECT_FALSE(request.Request(ShutdownReason::kTerminate));
  EXPECT_EQ(request.Wait(), ShutdownReason::kInterrupt);
  EXPECT_EQ(request.requested_at(), first);
  EXPECT_TRUE(request.requested().stop_requested());
}

TEST(ShutdownRequest, KeepsTheFirstExplanation) {
  FakeClock clock;
  ShutdownRequest request(clock);
  EXPECT_EQ(request.why(), "");
  request.Request(ShutdownReason::kFailure, "no disk");
  request.Request(ShutdownReason::kTerminate, "late");
  EXPECT_EQ(request.why(), "no disk");
  EXPECT_STREQ(ReasonName(*request.reason()), "failure");
}

TEST(ShutdownRequest, ReleasesEveryWaitingThread) {
  FakeClock clock;
  ShutdownRequest request(clock);
  std::vector<std::future<ShutdownReason>> waits;
  for (int i = 0; i < 3; ++i) {
    waits.push_back(std::async(std::launch::async, [&] { return request.Wait(); }));
  }
  request.Request(ShutdownReason::kTerminate);
  for (std::future<ShutdownReason>& wait : waits) EXPECT_EQ(wait.get(), ShutdownReason::kTerminate);
}

TEST(ShutdownRequest, ReleasesItsWaitersEvenWhenACallbackHangs) {
  FakeClock clock;
  ShutdownRequest request(clock);
  std::promise<void> called;
  std::promise<void> released;
  const std::stop_callback hangs(request.requested(), [&] {
    called.set_value();
    released.get_future().wait();
  });
  std::promise<void> about_to_wait;
  std::future<ShutdownReason> waits = std::async(std::launch::async, [&] {
    about_to_wait.set_value();
    return request.Wait();
  });
  about_to_wait.get_future().wait();
  for (int i = 0; i < 100; ++i) std::this_thread::yield();  // Most probably, it waits by now.
  std::jthread asks([&] { request.Request(ShutdownReason::kTerminate); });
  called.get_future().wait();
  EXPECT_EQ(waits.get(), ShutdownReason::kTerminate);
  released.set_value();
}

TEST(ShutdownRequest, StopsWaitingWhenInterrupted) {
  FakeClock clock;
  ShutdownRequest request(clock);
  std::stop_source interrupt;
  std::future<std::optional<ShutdownReason>> waits =
      std::async(std::launch::async, [&] { return request.Wait(interrupt.get_token()); });
  interrupt.request_stop();
  EXPECT_EQ(waits.get(), std::nullopt);
  request.Request(ShutdownReason::kTerminate);
  EXPECT_EQ(request.Wait(interrupt.get_token()), ShutdownReason::kTerminate);
}

TEST(ShutdownRequest, AcceptsExactlyOneOfManyRequests) {
  FakeClock clock;
  ShutdownRequest request(clock);
  std::atomic<int> firsts = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { firsts += request.Request(ShutdownReason::kTerminate) ? 1 : 0; });
    }
  }
  EXPECT_EQ(firsts, 1);
}

TEST(ShutdownRequest, CanBeExpeditedBeforeItIsRequested) {
  FakeClock clock;
  ShutdownRequest request(clock);
  request.Expedite();
  request.Expedite();
  EXPECT_TRUE(request.expedited().stop_requested());
  EXPECT_FALSE(request.requested().stop_requested());
}

}  // namespace
}  // namespace lifecycle
