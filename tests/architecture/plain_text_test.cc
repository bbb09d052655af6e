// The client does not use the service's rooms, so each has its own decoder of UTF-8 and its own list
// of characters that no terminal may get. These tests hold them together.

#include "client/plain_text.h"

#include <gtest/gtest.h>

#include <string>

#include "service/lifecycle/last_resort/utf8.h"
#include "service/observability/printable.h"

namespace {

std::string Utf8(char32_t c) {
  const auto last = [](char32_t bits) { return static_cast<char>(0x80 | (bits & 0x3F)); };
  if (c < 0x80) return {static_cast<char>(c)};
  if (c < 0x800) return {static_cast<char>(0xC0 | c >> 6), last(c)};
  if (c < 0x10000) return {static_cast<char>(0xE0 | c >> 12), last(c >> 6), last(c)};
  return {static_cast<char>(0xF0 | c >> 18), last(c >> 12), last(c >> 6), last(c)};
}

TEST(PlainTextTest, ClientAndServiceEscapeTheSameCharacters) {
  for (char32_t begin = 0; begin <= 0x10FFFF; begin += 0x100) {
    std::string text;
    for (char32_t c = begin; c < begin + 0x100; ++c) {
      // Halves of pairs are no characters; these two only JSON has to escape.
      if (c >> 11 != 0xD800 >> 11 && c != '"' && c != '\\') text += Utf8(c);
    }
    ASSERT_EQ("\"" + client::PlainJson(text) + "\"", observability::JsonString(text, 10'000));
    ASSERT_EQ(client::OneLine(text) == text, observability::Printable(text) == text);
  }
}

TEST(PlainTextTest, ClientAndServiceAgreeOnUtf8) {
  for (int first = 0; first < 0x100; ++first) {
    for (int second = 0; second < 0x100; ++second) {
      for (const char third : {'\x7F', '\x80', '\xC0'}) {
        for (const char fourth : {'\x7F', '\x80'}) {
          const std::string text = {static_cast<char>(first), static_cast<char>(second), third,
                                    fourth};
          const bool valid = client::OneLine(text).find("\uFFFD") == std::string::npos;
          ASSERT_EQ(valid, lifecycle::ValidUtf8(text) == text) << testing::PrintToString(text);
        }
      }
    }
  }
}

}  // namespace
