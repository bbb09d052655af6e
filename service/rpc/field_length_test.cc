#include "service/rpc/field_length.h"

#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace rpc {
namespace {

constexpr char kEuro[] = "\xE2\x82\xAC";
constexpr char kSmile[] = "\xF0\x9F\x98\x80";

absl::Status Checked(const std::string& value, std::size_t max) {
  BadRequest wrong;
  RequireLength(wrong, "name", value, max);
  return wrong.ToStatus();
}

std::string Times(int count, const std::string& text) {
  std::string all;
  for (int i = 0; i < count; ++i) all += text;
  return all;
}

TEST(CountCharacters, CountsCodePointsAndNotBytes) {
  EXPECT_EQ(CountCharacters(""), 0u);
  EXPECT_EQ(CountCharacters("tea"), 3u);
  EXPECT_EQ(CountCharacters("caf\xC3\xA9"), 4u);
  EXPECT_EQ(CountCharacters(Times(5, kEuro) + kSmile), 6u);
}

TEST(RequireLength, CountsCharactersAndNotBytes) {
  for (const std::string& one : {std::string("a"), std::string(kEuro), std::string(kSmile)}) {
    EXPECT_TRUE(Checked(one, 64).ok()) << one;
    EXPECT_TRUE(Checked(Times(64, one), 64).ok()) << one;
    EXPECT_TRUE(absl::IsInvalidArgument(Checked(Times(65, one), 64))) << one;
  }
  EXPECT_TRUE(absl::IsInvalidArgument(Checked("", 64)));
}

TEST(RequireLength, RefusesTheCharacterThatNotEveryDatabaseCanHold) {
  EXPECT_TRUE(absl::IsInvalidArgument(Checked(std::string("a\0b", 3), 64)));
  EXPECT_TRUE(absl::IsInvalidArgument(Checked(std::string(1, '\0'), 64)));
}

}  // namespace
}  // namespace rpc
