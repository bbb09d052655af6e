#include "service/lifecycle/running_calls.h"

#include <gtest/gtest.h>

namespace lifecycle {
namespace {

TEST(RunningCalls, NamesTheMethodsOfWhichOneRuns) {
  EXPECT_EQ(RunningCalls({}), "");
  EXPECT_EQ(RunningCalls({.methods = {{.name = "", .left = 2},
                                      {.name = "/a.B/C", .finished = 4, .left = 1},
                                      {.name = "/a.B/D", .finished = 3}}}),
            "2 others, 1 /a.B/C");
}

}  // namespace
}  // namespace lifecycle
