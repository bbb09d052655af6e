#include "service/lifecycle/last_resort/last_words.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

#include "service/lifecycle/last_resort/write_without_blocking.h"

namespace lifecycle {

void WriteLastWords(std::initializer_list<std::string_view> words) {
  char line[PIPE_BUF];  // Written completely or not at all.
  std::size_t size = 0;
  for (const std::string_view each : words) {
    size += each.copy(line + size, sizeof line - 1 - size);
  }
  // A peer's text may be part of it: it must neither end the line nor control a terminal.
  std::replace_if(
      line, line + size, [](unsigned char c) { return c < ' ' || c == 0x7F; }, ' ');
  line[size] = '\n';
  WriteWithoutBlocking(STDERR_FILENO, {line, size + 1});
}

}  // namespace lifecycle
