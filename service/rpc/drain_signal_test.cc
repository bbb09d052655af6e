#include "service/rpc/drain_signal.h"

#include <gtest/gtest.h>

#include <stop_token>

namespace rpc {
namespace {

TEST(DrainSignal, ReachesEveryTokenOnce) {
  DrainSignal drain;
  int told = 0;
  const auto count = [&told] { ++told; };
  const std::stop_callback first(drain.token(), count);
  const std::stop_callback second(drain.token(), count);
  EXPECT_EQ(told, 0);
  drain.Announce();
  drain.Announce();
  EXPECT_EQ(told, 2);
}

TEST(DrainSignal, ReachesATokenThatIsTakenLater) {
  DrainSignal drain;
  EXPECT_FALSE(drain.token().stop_requested());
  drain.Announce();
  EXPECT_TRUE(drain.token().stop_requested());
}

}  // namespace
}  // namespace rpc
