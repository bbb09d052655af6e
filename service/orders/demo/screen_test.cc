#include "service/orders/demo/screen.h"

#include <sstream>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace demo {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

TEST(ScreenTest, SaysWhenAndWhat) {
  std::ostringstream out;
  Screen screen(out, /*terminal=*/false);
  screen.Say("it began");
  EXPECT_THAT(out.str(), MatchesRegex(" +[0-9]+\\.[0-9][0-9]s   it began\n"));
}

TEST(ScreenTest, WithoutATerminalHasNoControlCharacters) {
  std::ostringstream out;
  {
    Screen screen(out, /*terminal=*/false);
    screen.Say("bad", Tone::kBad);
    screen.Latest("latest");
    screen.Continue("more", Tone::kGood);
  }
  EXPECT_THAT(out.str(), Not(HasSubstr("\x1b")));
  EXPECT_THAT(out.str(), Not(HasSubstr("\r")));
  EXPECT_THAT(out.str(), HasSubstr("latest\n"));
}

TEST(ScreenTest, WithoutATerminalCopiesOnceASecond) {
  std::ostringstream out;
  Screen screen(out, /*terminal=*/false);
  screen.Latest("first");
  screen.Latest("second");
  EXPECT_THAT(out.str(), HasSubstr("first"));
  EXPECT_THAT(out.str(), Not(HasSubstr("second")));
}

TEST(ScreenTest, KeepsTheLatestBelowEverythingOnATerminal) {
  std::ostringstream out;
  Screen screen(out, /*terminal=*/true);
  screen.Latest("3 orders");
  out.str("");
  screen.Say("an event");
  EXPECT_THAT(out.str(), MatchesRegex("\r\x1b\\[K.*an event.*\n.*3 orders.*"));
}

TEST(ScreenTest, KeepsTheLatestOnOneRowHoweverNarrowTheTerminal) {
  std::ostringstream out;
  Screen screen(out, /*terminal=*/true);
  screen.Latest("3 orders");
  EXPECT_THAT(out.str(), MatchesRegex("\x1b\\[\\?7l.*3 orders.*\x1b\\[\\?7h"));
}

TEST(ScreenTest, TakesTheLatestAwayInTheEnd) {
  std::ostringstream out;
  {
    Screen screen(out, /*terminal=*/true);
    screen.Latest("3 orders");
    out.str("");
  }
  EXPECT_EQ(out.str(), "\r\x1b[K");
}

TEST(ThousandsTest, AreSeparated) {
  EXPECT_EQ(Thousands(0), "0");
  EXPECT_EQ(Thousands(999), "999");
  EXPECT_EQ(Thousands(1000), "1,000");
  EXPECT_EQ(Thousands(1234567), "1,234,567");
  EXPECT_EQ(Thousands(-123), "-123");
  EXPECT_EQ(Thousands(-1234), "-1,234");
}

}  // namespace
}  // namespace demo
