#include "service/lifecycle/last_resort/precondition.h"

#include <gtest/gtest.h>

namespace lifecycle {
namespace {

TEST(Require, DoesNothingWhenItHolds) { Require(true, "never said"); }

TEST(RequireDeathTest, EndsTheProcessWithItsSentence) {
  EXPECT_DEATH(Require(false, "a square is round"), "broken precondition: a square is round");
}

}  // namespace
}  // namespace lifecycle
