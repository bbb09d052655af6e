#include "service/lifecycle/last_resort/utf8.h"

#include <gtest/gtest.h>

#include <string_view>

namespace lifecycle {
namespace {

TEST(CharacterAt, KnowsEachLength) {
  constexpr std::string_view kText = "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
  std::size_t at = 0;
  for (const char32_t expected : {0x61, 0xE9, 0x20AC, 0x1F600}) {
    const Character next = CharacterAt(kText, at);
    EXPECT_EQ(next.code_point, expected);
    at += next.length;
  }
  EXPECT_EQ(at, kText.size());
}

TEST(CharacterAt, KnowsWhatIsNone) {
  for (const std::string_view text : {"\x80", "\xC0\x8A", "\xE0\x82\x9B", "\xED\xA0\x80",
                                      "\xF4\x90\x80\x80", "\xFF", "\xE2\x98"}) {
    EXPECT_EQ(CharacterAt(text, 0).length, 0U);
  }
}

TEST(ValidUtf8, ReplacesWhateverIsNot) {
  EXPECT_EQ(ValidUtf8("snowman \xE2\x98\x83 \xFF"), "snowman \xE2\x98\x83 \xEF\xBF\xBD");
  EXPECT_EQ(ValidUtf8("\xED\xA0\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(ValidUtf8("cut short \xE2\x98"), "cut short \xEF\xBF\xBD\xEF\xBF\xBD");
}

}  // namespace
}  // namespace lifecycle
