#include "client/command_line.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

const std::vector<Flag>& Known() {
  static const auto& known =
      *new std::vector<Flag>{{"name", "NAME", "who"}, {"json", "", "print JSON"}};
  return known;
}

std::string ErrorOf(const std::vector<std::string>& arguments) {
  return std::string(ParseCommandLine(arguments, Known()).status().message());
}

TEST(CommandLineTest, FlagsAndWordsMayComeInAnyOrder) {
  const auto line = ParseCommandLine({"a", "--name=x=y", "b=2", "--json"}, Known());
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_EQ(line->Get("name"), "x=y");
  EXPECT_TRUE(line->Has("json"));
  EXPECT_THAT(line->words, ElementsAre("a", "b=2"));
}

TEST(CommandLineTest, AMissingFlagHasItsDefault) {
  const auto line = ParseCommandLine({}, Known());
  ASSERT_TRUE(line.ok());
  EXPECT_FALSE(line->Has("json"));
  EXPECT_EQ(line->Get("name", "ann"), "ann");
}

TEST(CommandLineTest, TheLastOfTwoWins) {
  EXPECT_EQ(ParseCommandLine({"--name=a", "--name=b"}, Known())->Get("name"), "b");
}

TEST(CommandLineTest, OneDashIsAWordTwoEndFlags) {
  const auto line = ParseCommandLine({"-", "--", "--json", "-x"}, Known());
  ASSERT_TRUE(line.ok()) << line.status();
  EXPECT_FALSE(line->Has("json"));
  EXPECT_THAT(line->words, ElementsAre("-", "--json", "-x"));
}

TEST(CommandLineTest, ErrorsSayWhatWouldBeValid) {
  EXPECT_EQ(ErrorOf({"--nmae=x"}), "unknown flag --nmae");
  EXPECT_EQ(ErrorOf({"-x"}), "unknown flag -x");
  EXPECT_EQ(ErrorOf({"--name", "x"}), "--name needs a value: --name=NAME");
  EXPECT_EQ(ErrorOf({"--name="}), "--name needs a value: --name=NAME");
  EXPECT_EQ(ErrorOf({"--json=yes"}), "--json takes no value");
}

TEST(CommandLineTest, ADurationHasAUnitAndALimit) {
  EXPECT_EQ(*ParseTime("1.5s"), milliseconds(1500));
  EXPECT_EQ(*ParseTime("2m"), milliseconds(120000));
  for (const char* wrong : {"", "10", "0s", "-1s", "inf", "25h", "1us", "soon"}) {
    const absl::Status status = ParseTime(wrong).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << wrong;
    EXPECT_THAT(std::string(status.message()), HasSubstr("from 1ms to 24h")) << wrong;
  }
}

TEST(CommandLineTest, ACountIsAPositiveWholeNumber) {
  EXPECT_EQ(*ParseCount("3000000000"), 3000000000);
  for (const char* wrong : {"", "0", "-1", "1.5", "x", "99999999999999999999"}) {
    EXPECT_TRUE(absl::IsInvalidArgument(ParseCount(wrong).status())) << wrong;
  }
}

TEST(CommandLineTest, TheHelpIsAligned) {
  EXPECT_EQ(FlagsHelp(Known()),
            "  --name=NAME  who\n"
            "  --json       print JSON\n");
}

}  // namespace
}  // namespace client
