#include "service/lifecycle/last_words.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>

namespace lifecycle {

void WriteLastWords(std::string words) {
  // PIPE_BUF bounds what fits for certain.
  words.resize(std::min<std::size_t>(words.size(), 4000));
  words.push_back('\n');
  pollfd out{STDERR_FILENO, POLLOUT, 0};
  if (poll(&out, 1, /*timeout=*/0) == 1 && (out.revents & POLLOUT) != 0) {
    [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, words.data(), words.size());
  }
}

}  // namespace lifecycle
