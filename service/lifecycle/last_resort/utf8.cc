#include "service/lifecycle/last_resort/utf8.h"

namespace lifecycle {

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

}  // namespace lifecycle
