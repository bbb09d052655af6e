#include "service/rpc/live_count.h"

#include <gtest/gtest.h>

#include <atomic>
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
