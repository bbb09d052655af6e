#include "service/rpc/wall_clock.h"

#include <gtest/gtest.h>

#include <chrono>

#include "service/lifecycle/clock.h"

namespace rpc {
namespace {

using ::std::chrono::system_clock;

TEST(OnTheWall, IsTheSameMoment) {
  constexpr std::chrono::seconds kLater(1000);
  const system_clock::time_point before = system_clock::now();
  const system_clock::time_point point = OnTheWall(std::chrono::steady_clock::now() + kLater);
  const system_clock::time_point after = system_clock::now();
  // The two clocks are read one after the other.
  EXPECT_GE(point, before + kLater - std::chrono::seconds(100));
  EXPECT_LE(point, after + kLater + std::chrono::seconds(100));
}

TEST(OnTheWall, IsFarInTheFutureWhenInfinite) {
  EXPECT_GT(OnTheWall(lifecycle::Clock::TimePoint::max()),
            system_clock::now() + std::chrono::hours(24));
}

}  // namespace
}  // namespace rpc
