#include "service/rpc/calls/live_count.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace rpc {
namespace {

TEST(LiveCount, CountsWhatHasBegunAndNotEnded) {
  LiveCount count;
  EXPECT_EQ(count.live(), 0);
  count.Begin();
  count.Begin();
  std::thread([&] { count.End(); }).join();
  EXPECT_EQ(count.live(), 1);
}

TEST(LiveCount, ExceedsASmallNumberAtOnce) {
  LiveCount count;
  for (int i = 0; i < 3; ++i) {
    EXPECT_FALSE(count.Exceeds(2)) << i;
    if (i < 2) count.Begin();
  }
  count.Begin();
  EXPECT_TRUE(count.Exceeds(2));
  EXPECT_TRUE(count.Exceeds(2));
  count.End();
  EXPECT_FALSE(count.Exceeds(2));
}

TEST(LiveCount, ExceedsALargeNumberOnlyALittleLate) {
  constexpr std::int64_t kMost = 1 << 14;
  LiveCount count;
  std::int64_t begun = 0;
  for (; begun <= 2 * kMost; ++begun) {
    count.Begin();
    if (count.Exceeds(kMost)) break;
  }
  EXPECT_GE(begun, kMost);
  EXPECT_LE(begun, kMost + kMost / 16);
}

TEST(LiveCount, TwoCountsExceedSmallNumbersIndependently) {
  LiveCount large, small;
  EXPECT_FALSE(large.Exceeds(1 << 14));
  small.Begin();
  EXPECT_FALSE(small.Exceeds(1));
  small.Begin();
  EXPECT_TRUE(small.Exceeds(1));
}

// One that hands over to the next before it ends: there is always one.
TEST(LiveCount, IsNeverTooSmallWhileItIsRead) {
  LiveCount count;
  std::atomic<bool> done{false};
  count.Begin();
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&] {
      for (int k = 0; k < 100'000; ++k) {
        count.Begin();
        count.End();
      }
      done = true;
    });
  }
  while (!done) ASSERT_GE(count.live(), 1);
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(count.live(), 1);
}

}  // namespace
}  // namespace rpc
