#include "service/observability/printable.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include "gtest/gtest.h"

namespace observability {
namespace {

TEST(Printable, LeavesTextAlone) {
  const std::string text = "caf\xC3\xA9 \xE2\x98\x83 \xF0\x9F\x98\x80 C:\\n {\"a\": \"b\"}";
  EXPECT_EQ(Printable(text), text);
}

TEST(CutOff, KeepsWholeCharacters) {
  const std::string text = "ab\xE2\x98\x83\xC3\xA9z";  // Two, three, two and one bytes.
  const auto cut = [&](std::size_t most) {
    std::string some = text;
    CutOff(some, most);
    return some;
  };
  EXPECT_EQ(cut(8), text);
  EXPECT_EQ(cut(7), "ab...");
  EXPECT_EQ(cut(6), "ab...");
  EXPECT_EQ(cut(5), "ab...");
  EXPECT_EQ(cut(4), "a...");
  EXPECT_EQ(cut(3), "...");
}

TEST(Printable, EscapesLineBreaksAndTerminalControls) {
  EXPECT_EQ(Printable("a\nb\rc\td"), "a\\nb\\rc\\td");
  EXPECT_EQ(Printable(std::string("\0\x1b[2J\x7f", 6)), "\\x00\\x1b[2J\\x7f");
  EXPECT_EQ(Printable("\xC2\x85 \xC2\x9B"
                      "31m"),
            "\\u0085 \\u009b31m");
  EXPECT_EQ(Printable("\xE2\x80\xA8 \xE2\x80\xA9"), "\\u2028 \\u2029");
}

TEST(Printable, EscapesACharacterWhereverItIs) {
  const std::string plain = "0123456789abcdefghi";
  for (int ascii = 0; ascii < 0x80; ++ascii) {
    const char c = static_cast<char>(ascii);
    const bool escaped = c < 0x20 || c == 0x7F;
    EXPECT_EQ(Printable(std::string(1, c)) != std::string(1, c), escaped) << ascii;
    for (std::size_t at = 0; at < plain.size(); ++at) {
      std::string text = plain;
      text[at] = c;
      EXPECT_EQ(Printable(text),
                plain.substr(0, at) + Printable(std::string(1, c)) + plain.substr(at + 1));
      EXPECT_EQ(JsonString(text, 100).size() == text.size() + 2, !escaped && c != '"' && c != '\\');
    }
  }
}

TEST(Printable, LeavesNoSpaceInAWord) {
  std::string line = "a b=";
  AppendPrintableWord(line, " c d\te\xC2\xA0\xE2\x80\x83\xE3\x80\x80 \xE2\x98\x83\\");
  EXPECT_EQ(line, "a b=\\x20c\\x20d\\te\\u00a0\\u2003\\u3000\\x20\xE2\x98\x83\\");
}

TEST(Printable, EscapesWhatReordersALine) {
  EXPECT_EQ(Printable("\xE2\x80\xAE"
                      "drow"),
            "\\u202edrow");
  EXPECT_EQ(Printable("\xE2\x81\xA6 \xE2\x80\x8F \xD8\x9C"), "\\u2066 \\u200f \\u061c");
}

TEST(Printable, EscapesWhatNobodySees) {
  EXPECT_EQ(Printable("\xE2\x80\x8B \xEF\xBB\xBF \xE2\x81\xA0"), "\\u200b \\ufeff \\u2060");
  EXPECT_EQ(Printable("\xF3\xA0\x81\x81"), "\\udb40\\udc41");  // U+E0041, a tag; as JSON has it.
  EXPECT_EQ(JsonString("\xF3\xA0\x81\x81", 100), "\"\\udb40\\udc41\"");
}

TEST(Printable, EscapesEachByteThatIsNotUtf8) {
  EXPECT_EQ(Printable("\xFF\xC0\xAF"), "\\xff\\xc0\\xaf");
  EXPECT_EQ(Printable("\xED\xA0\x80"), "\\xed\\xa0\\x80");
  EXPECT_EQ(Printable("\xF4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80");
  EXPECT_EQ(Printable("cut \xE2\x98"), "cut \\xe2\\x98");
  EXPECT_EQ(Printable("a control in disguise \xC0\x8A"), "a control in disguise \\xc0\\x8a");
}

TEST(JsonString, IsCutOnlyIfItIsTooLong) {
  EXPECT_EQ(JsonString("123456", 8), "\"123456\"");
  EXPECT_EQ(JsonString("1234567", 8), "\"123...\"");
  EXPECT_EQ(JsonString("12345\xC3\xA9", 9), "\"12345\xC3\xA9\"");
  EXPECT_EQ(JsonString("12345\n", 9), "\"1234...\"");
  EXPECT_EQ(JsonString(std::string(5000, 'x'), 4000), '"' + std::string(3995, 'x') + "...\"");
}

TEST(JsonString, IsCutBetweenCharacters) {
  EXPECT_EQ(JsonString("123\xC3\xA9\xC3\xA9", 8), "\"123...\"");
  EXPECT_EQ(JsonString("12\xC3\xA9\xC3\xA9\xC3\xA9", 9), "\"12\xC3\xA9...\"");
  EXPECT_EQ(JsonString("12\n4567", 9), "\"12...\"");
  EXPECT_EQ(JsonString("1\"\"\"\"", 8), "\"1\\\"...\"");
}

TEST(JsonString, ReadsNothingThatCannotBePartOfIt) {
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t huge = std::size_t{1} << 30;
  void* const start =
      mmap(nullptr, huge, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  ASSERT_NE(start, MAP_FAILED);
  ASSERT_EQ(mprotect(start, page, PROT_READ | PROT_WRITE), 0);
  std::memset(start, 'x', page);
  const std::string_view text(static_cast<const char*>(start), huge);
  EXPECT_EQ(JsonString(text, 300), '"' + std::string(295, 'x') + "...\"");
  munmap(start, huge);
}

}  // namespace
}  // namespace observability
