#include "service/lifecycle/stop_request.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

#include "service/lifecycle/fake_clock.h"

namespace lifecycle {
namespace {

using std::chrono::seconds;

TEST(StopRequest, IsNotRequestedAtFirst) {
  FakeClock clock;
  StopRequest request(clock);
  EXPECT_FALSE(request.requested().stop_requested());
  EXPECT_FALSE(request.hurry().stop_requested());
}

TEST(StopRequest, KeepsTheFirstReasonAndTime) {
  FakeClock clock;
  StopRequest request(clock);
  const Clock::TimePoint first = clock.Now();
  EXPECT_TRUE(request.Request(StopReason::kInterrupt));
  clock.Advance(seconds(1));
  EXPECT_FALSE(request.Request(StopReason::kTerminate));
  EXPECT_EQ(request.Wait(), StopReason::kInterrupt);
  EXPECT_EQ(request.requested_at(), first);
  EXPECT_TRUE(request.requested().stop_requested());
}

TEST(StopRequest, KeepsWhatTheFirstSaysInWords) {
  FakeClock clock;
  StopRequest request(clock);
  EXPECT_EQ(request.why(), "");
  request.Request(StopReason::kFailure, "no disk");
  request.Request(StopReason::kTerminate, "late");
  EXPECT_EQ(request.why(), "no disk");
  EXPECT_STREQ(ReasonName(*request.reason()), "failure");
}

TEST(StopRequest, ReleasesEveryThreadThatWaits) {
  FakeClock clock;
  StopRequest request(clock);
  std::vector<std::future<StopReason>> waits;
  for (int i = 0; i < 3; ++i) {
    waits.push_back(std::async(std::launch::async, [&] { return request.Wait(); }));
  }
  request.Request(StopReason::kTerminate);
  for (std::future<StopReason>& wait : waits) EXPECT_EQ(wait.get(), StopReason::kTerminate);
}

TEST(StopRequest, ReleasesWhoWaitsEvenWhenACallbackOfItsTokenHangs) {
  FakeClock clock;
  StopRequest request(clock);
  std::promise<void> called;
  std::promise<void> released;
  const std::stop_callback hangs(request.requested(), [&] {
    called.set_value();
    released.get_future().wait();
  });
  std::promise<void> about_to_wait;
  std::future<StopReason> waits = std::async(std::launch::async, [&] {
    about_to_wait.set_value();
    return request.Wait();
  });
  about_to_wait.get_future().wait();
  for (int i = 0; i < 100; ++i) std::this_thread::yield();  // Most probably, it waits by now.
  std::jthread asks([&] { request.Request(StopReason::kTerminate); });
  called.get_future().wait();
  EXPECT_EQ(waits.get(), StopReason::kTerminate);
  released.set_value();
}

TEST(StopRequest, IsGivenUpWaitingForWhenInterrupted) {
  FakeClock clock;
  StopRequest request(clock);
  std::stop_source interrupt;
  std::future<std::optional<StopReason>> waits =
      std::async(std::launch::async, [&] { return request.Wait(interrupt.get_token()); });
  interrupt.request_stop();
  EXPECT_EQ(waits.get(), std::nullopt);
  request.Request(StopReason::kTerminate);
  EXPECT_EQ(request.Wait(interrupt.get_token()), StopReason::kTerminate);
}

TEST(StopRequest, LetsExactlyOneOfManyRequestsBeTheFirst) {
  FakeClock clock;
  StopRequest request(clock);
  std::atomic<int> firsts = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { firsts += request.Request(StopReason::kTerminate) ? 1 : 0; });
    }
  }
  EXPECT_EQ(firsts, 1);
}

TEST(StopRequest, HurriesWithoutBeingRequested) {
  FakeClock clock;
  StopRequest request(clock);
  request.Hurry();
  request.Hurry();
  EXPECT_TRUE(request.hurry().stop_requested());
  EXPECT_FALSE(request.requested().stop_requested());
}

}  // namespace
}  // namespace lifecycle
