#include "service/observability/printable.h"

#include <cstddef>

#include "absl/strings/str_format.h"

namespace observability {
namespace {

struct Character {
  std::size_t length = 0;  // In bytes; 0: not UTF-8.
  unsigned code_point = 0;
};

Character CharacterAt(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const unsigned first = byte(at);
  if (first < 0x80) return {1, first};
  if (first < 0xC2 || first > 0xF4) return {};
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  unsigned code_point = first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {};
    code_point = code_point << 6 | (byte(at + i) & 0x3F);
  }
  // Too long for what they say, half of a pair, or beyond the last.
  const unsigned least = length == 4 ? 0x10000 : length == 3 ? 0x800 : 0x80;
  if (code_point < least || code_point > 0x10FFFF || (code_point >> 11) == 0xD800 >> 11) return {};
  return {length, code_point};
}

bool IsPlain(unsigned c) {
  if (c < 0x20 || (c >= 0x7F && c <= 0x9F)) return false;                 // Controls.
  if (c == 0x61C || c == 0x200E || c == 0x200F) return false;             // Marks of direction.
  return !(c >= 0x2028 && c <= 0x202E) && !(c >= 0x2066 && c <= 0x2069);  // Breaks, overrides.
}

std::string Escaped(unsigned c) {
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  return c < 0x80 ? absl::StrFormat("\\x%02x", c) : absl::StrFormat("\\u%04x", c);
}

}  // namespace

std::string Printable(std::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const Character next = CharacterAt(text, at);
    if (next.length == 0) {
      absl::StrAppendFormat(&printable, "\\x%02x",
                            unsigned{static_cast<unsigned char>(text[at++])});
      continue;
    }
    if (IsPlain(next.code_point)) {
      printable += text.substr(at, next.length);
    } else {
      printable += Escaped(next.code_point);
    }
    at += next.length;
  }
  return printable;
}

std::string JsonString(std::string_view text, std::size_t max_bytes) {
  constexpr std::string_view kMore = "...\"";
  std::string json = "\"";
  for (std::size_t at = 0; at < text.size();) {
    const Character next = CharacterAt(text, at);
    std::string part(text.substr(at, next.length));
    if (next.length == 0) {
      part = "\\ufffd";
    } else if (part == "\"" || part == "\\") {
      part.insert(0, 1, '\\');
    } else if (!IsPlain(next.code_point)) {
      part = absl::StrFormat("\\u%04x", next.code_point);
    }
    at += next.length == 0 ? 1 : next.length;
    const std::size_t room = at == text.size() ? 1 : kMore.size();
    if (json.size() + part.size() + room > max_bytes) return json.append(kMore);
    json += part;
  }
  return json + "\"";
}

std::string ValidUtf8(std::string_view text) {
  std::string valid;
  valid.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = CharacterAt(text, at).length;
    valid += length == 0 ? "\xEF\xBF\xBD" : text.substr(at, length);
    at += length == 0 ? 1 : length;
  }
  return valid;
}

}  // namespace observability
