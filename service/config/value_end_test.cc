#include "service/config/value_end.h"

#include <string>

#include "gtest/gtest.h"

namespace config {
namespace {

std::string Said(const std::string& value) { return std::string(CheckEnd("x", value).message()); }

TEST(CheckEnd, MayBeAnythingThatIsSeen) {
  for (const char* value : {"", "a", " a", "a b", "/d/\u00e4", "a\nb"}) {
    EXPECT_EQ(Said(value), "") << value;
  }
}

TEST(CheckEnd, IsNoBlankAndNoLineBreak) {
  for (const std::string end : {" ", "\t", "\n", "\r", "\r\n", "\v", "\f"}) {
    EXPECT_EQ(CheckEnd("x", "a" + end).code(), absl::StatusCode::kInvalidArgument) << end;
  }
  EXPECT_EQ(Said(" "), "--x must not end with a blank or a line break, is \" \"");
}

TEST(CheckEnd, IsShownEscapedAndWithoutPasswords) {
  EXPECT_EQ(Said("/d/\u00e4\r\n"),
            "--x must not end with a blank or a line break, is \"/d/\u00e4\\r\\n\"");
  EXPECT_EQ(
      Said("postgresql://ada:s3cret@db/orders "),
      "--x must not end with a blank or a line break, is \"postgresql://ada:***@db/orders \"");
}

}  // namespace
}  // namespace config
