#include "service/lifecycle/last_resort/last_words.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "service/lifecycle/last_resort/utf8.h"
#include "service/lifecycle/last_resort/write_without_blocking.h"

namespace lifecycle {
namespace {

// Whether a character ends or reorders a line, or controls a terminal.
bool IsControl(char32_t c) {
  return c < ' ' || (c >= 0x7F && c < 0xA0) ||  // C0, DEL and C1.
         (c >= 0x2028 && c <= 0x202E) ||        // Breaks; overrides.
         (c >= 0x2066 && c <= 0x2069);          // Isolates.
}

// Puts spaces in the place of those, and of what is not UTF-8.
void MakePlain(char* text, std::size_t size) {
  for (std::size_t at = 0; at < size;) {
    const Character next = CharacterAt({text, size}, at);
    const std::size_t length = std::max<std::size_t>(next.length, 1);
    if (next.length == 0 || IsControl(next.code_point)) std::fill_n(text + at, length, ' ');
    at += length;
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
