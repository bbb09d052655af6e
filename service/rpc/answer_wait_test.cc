#include "service/rpc/answer_wait.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <thread>

namespace rpc {
namespace {

constexpr std::chrono::hours kForEver(1);

TEST(AnswerWaitTest, GetsAnAnswerBeforeOrDuringItsWait) {
  AnswerWait<int> wait;
  wait.Set(1);
  EXPECT_EQ(wait.Get({}, kForEver, [] { FAIL(); }), 1);
  AnswerWait<int> later;
  const std::jthread sets([&] { later.Set(2); });
  EXPECT_EQ(later.Get({}, kForEver, [] { FAIL(); }), 2);
}

TEST(AnswerWaitTest, HasPatienceOnceAStopIsRequested) {
  AnswerWait<int> wait;
  std::stop_source stop;
  stop.request_stop();
  const std::jthread sets([&] { wait.Set(1); });
  EXPECT_EQ(wait.Get(stop.get_token(), kForEver, [] { FAIL(); }), 1);
}

TEST(AnswerWaitTest, TakesTheLongestPatienceForAllThereIs) {
  std::stop_source stop;
  stop.request_stop();
  for (int i = 0; i < 20; ++i) {
    AnswerWait<int> wait;
    const std::jthread sets([&] { wait.Set(1); });
    EXPECT_EQ(wait.Get(stop.get_token(), std::chrono::milliseconds::max(), [] { FAIL(); }), 1);
  }
}

TEST(AnswerWaitTest, GivesUpWhenThatIsOver) {
  AnswerWait<int> wait;
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(wait.Get(stop.get_token(), std::chrono::milliseconds(1), [&] { wait.Set(3); }), 3);
}

TEST(AnswerWaitTest, WaitsNoLongerOnceItHasGivenUp) {
  AnswerWait<int> wait;
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(wait.Get(stop.get_token(), std::chrono::milliseconds(1), [] {}), std::nullopt);
  wait.Set(4);
}

}  // namespace
}  // namespace rpc
