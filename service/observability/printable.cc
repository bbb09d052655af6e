#include "service/observability/printable.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>

#include "absl/strings/str_format.h"
#include "service/lifecycle/last_resort/utf8.h"

namespace observability {
namespace {

// The client's list (client/plain_text.cc); tests/architecture compares them.
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

constexpr std::uint64_t kSpaces = 0x2020202020202020;

// Whether PlainAscii() goes on, of eight characters at once. Each term has a byte's highest bit set
// where one is what it asks for; where it errs, it is because a lower byte is.
bool AllPlain(std::uint64_t bytes) {
  constexpr std::uint64_t kOnes = 0x0101010101010101;
  constexpr std::uint64_t kHighest = 0x80 * kOnes;
  const auto any_below = [bytes](std::uint64_t c) { return (bytes - c * kOnes) & ~bytes; };
  const auto any = [bytes](std::uint64_t c) {
    const std::uint64_t zero_if_equal = bytes ^ c * kOnes;
    return (zero_if_equal - kOnes) & ~zero_if_equal;
  };
  return ((bytes | any_below(0x20) | any(0x7F) | any('"') | any('\\')) & kHighest) == 0;
}

// The characters of ASCII at the beginning of `text` that IsPlain(), and that JSON does not escape
// either: nearly all of what is logged.
std::string_view PlainAscii(std::string_view text) {
  constexpr std::size_t kStep = sizeof(std::uint64_t);
  std::size_t end = 0;
  while (end < text.size()) {
    std::uint64_t bytes = kSpaces;
    const std::size_t some = std::min(text.size() - end, kStep);
    if (some == kStep) {
      std::memcpy(&bytes, text.data() + end, kStep);  // An instruction.
    } else {
      std::memcpy(&bytes, text.data() + end, some);
    }
    if (!AllPlain(bytes)) break;
    end += some;
  }
  const auto is_plain = [](char c) { return c >= 0x20 && c < 0x7F && c != '"' && c != '\\'; };
  while (end < text.size() && is_plain(text[end])) ++end;
  return text.substr(0, end);
}

std::string EscapedForJson(char32_t c) {
  if (c < 0x10000) return absl::StrFormat("\\u%04x", static_cast<unsigned>(c));
  const unsigned rest = static_cast<unsigned>(c) - 0x10000;
  return absl::StrFormat("\\u%04x\\u%04x", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
}

std::string Escaped(char32_t c) {
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  return c < 0x80 ? absl::StrFormat("\\x%02x", static_cast<unsigned>(c)) : EscapedForJson(c);
}

// Of those that IsPlain(): what readers of words take for their end.
bool IsSpace(char32_t c) {
  return c == 0x20 || c == 0xA0 || c == 0x1680 || (0x2000 <= c && c <= 0x200A) || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

void AppendEscaped(std::string& line, std::string_view text, bool one_word) {
  for (std::size_t at = 0; at < text.size();) {
    std::string_view ascii = PlainAscii(text.substr(at));
    if (one_word) ascii = ascii.substr(0, ascii.find(' '));
    line += ascii;
    at += ascii.size();
    if (at == text.size()) return;
    const lifecycle::Character next = lifecycle::CharacterAt(text, at);
    if (next.length == 0) {
      absl::StrAppendFormat(&line, "\\x%02x", unsigned{static_cast<unsigned char>(text[at++])});
      continue;
    }
    if (IsPlain(next.code_point) && !(one_word && IsSpace(next.code_point))) {
      line += text.substr(at, next.length);
    } else {
      line += Escaped(next.code_point);
    }
    at += next.length;
  }
}

}  // namespace

void AppendPrintable(std::string& line, std::string_view text) {
  AppendEscaped(line, text, /*one_word=*/false);
}

void AppendPrintableWord(std::string& line, std::string_view text) {
  AppendEscaped(line, text, /*one_word=*/true);
}

std::string Printable(std::string_view text) {
  std::string printable;
  printable.reserve(text.size());
  AppendPrintable(printable, text);
  return printable;
}

void CutOff(std::string& text, std::size_t most) {
  constexpr std::string_view kMore = "...";
  if (text.size() <= most) return;
  std::size_t end = most - kMore.size();
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  text.resize(end);
  text += kMore;
}

std::string JsonString(std::string_view text, std::size_t max_bytes) {
  constexpr std::string_view kMore = "...\"";
  const std::size_t most = max_bytes - kMore.size();
  std::string json = "\"";
  std::size_t kept = json.size();    // If it must be cut: whole characters, `most` bytes at most.
  text = text.substr(0, max_bytes);  // What is left of it is too long, too.
  for (std::size_t at = 0; at < text.size();) {
    const std::string_view ascii = PlainAscii(text.substr(at));
    if (!ascii.empty()) {
      if (json.size() <= most) kept = std::min(json.size() + ascii.size(), most);
      json += ascii;
      at += ascii.size();
      continue;
    }
    const lifecycle::Character next = lifecycle::CharacterAt(text, at);
    std::string part(text.substr(at, next.length));
    if (next.length == 0) {
      part = "\\ufffd";
    } else if (part == "\"" || part == "\\") {
      part.insert(0, 1, '\\');
    } else if (!IsPlain(next.code_point)) {
      part = EscapedForJson(next.code_point);
    }
    at += next.length == 0 ? 1 : next.length;
    json += part;
    if (json.size() <= most) kept = json.size();
  }
  if (json.size() < max_bytes) return json + "\"";
  json.resize(kept);
  return json.append(kMore);
}

}  // namespace observability
