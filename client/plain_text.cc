#include "client/plain_text.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"

namespace client {
namespace {

struct Character {
  std::size_t length = 0;  // In bytes; 0: not UTF-8.
  char32_t code_point = 0;
};

Character CharacterAt(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(at);
  if (first < 0x80) return {1, first};
  if (first < 0xC2 || first > 0xF4) return {};
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  char32_t code_point = first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {};
    code_point = code_point << 6 | (byte(at + i) & 0x3F);
  }
  // Too long for what they say, half of a pair, or beyond the last.
  const char32_t min = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  if (code_point < min || code_point > 0x10FFFF || (code_point >> 11) == 0xD800 >> 11) return {};
  return {length, code_point};
}

// The service's list (service/observability/printable.cc); tests/architecture compares them.
bool IsPlain(char32_t c) {
  constexpr struct {
    char32_t first, last;
  } kNotPlain[] = {
      {0x00, 0x1F},       {0x7F, 0x9F},                            // Controls: C0, DEL, C1.
      {0xAD, 0xAD},       {0x61C, 0x61C},     {0x180E, 0x180E},    // Marks.
      {0x200B, 0x200B},   {0x200E, 0x200F},                        // Zero width; direction.
      {0x2028, 0x202E},   {0x2060, 0x206F},                        // Breaks, overrides; isolates.
      {0xFEFF, 0xFEFF},   {0xFFF9, 0xFFFB},   {0xFFFE, 0xFFFF},    // Annotations; no characters.
      {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, {0xE0000, 0xE0FFF},  // Format; tags.
  };
  return std::none_of(std::begin(kNotPlain), std::end(kNotPlain),
                      [c](const auto& range) { return range.first <= c && c <= range.last; });
}

std::string Escaped(char32_t c) {
  if (c < 0x10000) return absl::StrFormat("\\u%04x", static_cast<unsigned>(c));
  const unsigned rest = static_cast<unsigned>(c) - 0x10000;
  return absl::StrFormat("\\u%04x\\u%04x", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
}

// `text` with `replacement` of each character that is not plain.
template <typename Replacement>
std::string Replaced(std::string_view text, Replacement replacement) {
  std::string plain;
  plain.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Character next = CharacterAt(text, at);
    const std::size_t length = std::max<std::size_t>(next.length, 1);
    if (next.length == 0) {
      plain += "\xEF\xBF\xBD";
    } else if (IsPlain(next.code_point)) {
      plain += text.substr(at, length);
    } else {
      plain += replacement(next.code_point);
    }
    at += length;
  }
  return plain;
}

}  // namespace

std::string OneLine(std::string_view text) {
  return Replaced(text, [](char32_t) { return std::string(" "); });
}

std::string PlainJson(std::string_view json) { return Replaced(json, Escaped); }

std::string ShellWord(std::string_view text) {
  const bool harmless = std::all_of(text.begin(), text.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
           std::string_view("._:=+/-").find(c) != std::string_view::npos;
  });
  std::string word(text);
  if (harmless && !word.empty()) return word;
  absl::StrReplaceAll({{"'", "'\\''"}}, &word);
  return "'" + word + "'";
}

}  // namespace client
