#include "service/lifecycle/last_resort/last_words.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "service/lifecycle/last_resort/write_without_blocking.h"

namespace lifecycle {
namespace {

// Whether a character ends or reorders a line, or controls a terminal.
bool IsControl(unsigned c) {
  return c < ' ' || (c >= 0x7F && c < 0xA0) ||  // C0, DEL and C1.
         (c >= 0x2028 && c <= 0x202E) ||        // Breaks; overrides.
         (c >= 0x2066 && c <= 0x2069);          // Isolates.
}

// Puts spaces in the place of those, and of what is not UTF-8.
void MakePlain(char* text, std::size_t size) {
  for (std::size_t at = 0, length = 1; at < size; at += length) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
    unsigned c = byte(0);
    length = c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0;
    if (length > 1) c &= 0xFFU >> (length + 1);
    for (std::size_t i = 1; i < length; ++i) {
      if (at + i == size || (byte(i) & 0xC0) != 0x80) length = 0;
      if (length != 0) c = c << 6 | (byte(i) & 0x3F);
    }
    const bool plain = length != 0 && !IsControl(c);
    length = std::max<std::size_t>(length, 1);
    if (!plain) std::fill_n(text + at, length, ' ');
  }
}

}  // namespace

void WriteLastWords(std::initializer_list<std::string_view> words) {
  char line[PIPE_BUF];  // Written completely or not at all.
  std::size_t size = 0;
  for (const std::string_view each : words) {
    size += each.copy(line + size, sizeof line - 1 - size);
  }
  // A peer's text may be part of it: it must neither end the line nor control a terminal.
  MakePlain(line, size);
  line[size] = '\n';
  WriteWithoutBlocking(STDERR_FILENO, {line, size + 1});
}

}  // namespace lifecycle
