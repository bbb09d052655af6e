#include "service/lifecycle/write_without_blocking.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace lifecycle {
namespace {

bool AwaitRoom(int fd, std::chrono::milliseconds patience) {
  pollfd out{fd, POLLOUT, 0};
  int ready = 0;
  do {
    ready = poll(&out, 1, static_cast<int>(patience.count()));
  } while (ready < 0 && errno == EINTR);
  return ready == 1 && (out.revents & POLLOUT) != 0;
}

// As write() does. A socket has room for a part of it, and would wait for the rest.
ssize_t WriteOnce(int fd, std::string_view piece) {
  const ssize_t sent = send(fd, piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0 || errno != ENOTSOCK) return sent;
  return write(fd, piece.data(), piece.size());
}

}  // namespace

std::size_t WriteWithoutBlocking(int fd, std::string_view text,
                                 std::chrono::milliseconds patience) {
  std::size_t written = 0;
  while (written < text.size() && AwaitRoom(fd, patience)) {
    // A pipe that has room has it for so much (POSIX, write()).
    const ssize_t size = WriteOnce(fd, text.substr(written, PIPE_BUF));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    written += static_cast<std::size_t>(size);
  }
  return written;
}

}  // namespace lifecycle
