#include "client/timeline_text.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using testing::HasSubstr;

TEST(TimelineText, IsADrawing) {
  const Timeline timeline = {
      .title = {"orders: terminate", "all is well"},
      .rows = {{.label = "LameDuck", .start = 0, .end = 1000, .budget_end = 4000, .time = "1 s"},
               {.label = "DrainingCalls",
                .start = 1000,
                .end = 2000,
                .budget_end = 1500,
                .time = "1 s of 500 ms",
                .forced = true,
                .mark = "CallsCut"},
               {.label = "ClosingResources",
                .start = 2000,
                .end = 2000,
                .budget_end = 2500,
                .time = "0"},
               {.label = "database", .nested = true, .start = 2000, .end = 2000, .time = "0"}},
      .summary = {"calls: none"},
      .length = 3000,
      .ticks = {0, 1000, 2000, 3000}};
  EXPECT_EQ(TimelineText(timeline),
            "orders: terminate\n"
            "all is well\n"
            "\n"
            "                    0               1 s             2 s             3 s\n"
            "  LameDuck         |================................................| 1 s\n"
            "  DrainingCalls    |                ########|#######                | 1 s of 500 ms  "
            "! CallsCut\n"
            "  ClosingResources |                                =.......        | 0\n"
            "    database       |                                =               | 0\n"
            "\n"
            "calls: none\n");
}

TEST(TimelineText, ShowsBarsAtAndBeyondTheAxisEnd) {
  const Timeline timeline = {.rows = {{.label = "a", .start = 10, .end = 10},
                                      {.label = "b", .start = 50, .end = 90, .budget_end = 99}},
                             .length = 10,
                             .ticks = {0}};
  const std::string last = std::string(47, ' ') + "=|";
  EXPECT_THAT(TimelineText(timeline), HasSubstr("  a |" + last));
  EXPECT_THAT(TimelineText(timeline), HasSubstr("  b |" + last));
}

TEST(TimelineText, CutsALongNameBetweenLetters) {
  const Timeline timeline = {
      .rows = {{.label = std::string(20, 'x') + "\u2603 snowman"}}, .length = 1, .ticks = {0}};
  EXPECT_THAT(TimelineText(timeline), HasSubstr("  " + std::string(20, 'x') + "... |"));
}

}  // namespace
}  // namespace client
