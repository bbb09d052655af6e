#include "service/lifecycle/last_resort/write_without_blocking.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <iterator>

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

bool IsPipe(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

// As write() does. A socket has room for a part of it, and would wait for the rest; of a
// pipe's room, another writer may have taken the last since poll() saw it.
ssize_t WriteOnce(int fd, std::string_view piece) {
  const ssize_t sent = send(fd, piece.data(), piece.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0 || errno != ENOTSOCK) return sent;
  if (IsPipe(fd)) {
    const iovec part{const_cast<char*>(piece.data()), piece.size()};
    const ssize_t written = pwritev2(fd, &part, 1, /*offset: none=*/-1, RWF_NOWAIT);
    // Linux has it for pipes since 6.5.
    if (written >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return written;
  }
  return write(fd, piece.data(), piece.size());
}

// The terminal that `fd` is, opened once more, or -1. poll() finds room in a terminal that has a
// little, where write() waits until all fits. A description that others share, a shell for one, must
// stay as it is; this one does not block. It is not kept: whose turn would it be to close it?
int OpenTerminalAgain(int fd) {
  termios unused;
  if (tcgetattr(fd, &unused) != 0) return -1;
  char path[32] = "/proc/self/fd/";
  std::to_chars(path + sizeof "/proc/self/fd/" - 1, std::end(path) - 1, fd);
  return open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

}  // namespace

std::size_t WriteWithoutBlocking(int fd, std::string_view text,
                                 std::chrono::milliseconds patience) {
  const int terminal = OpenTerminalAgain(fd);
  const int to = terminal < 0 ? fd : terminal;
  // While one writes to a terminal, others get EAGAIN, though poll() has just found room.
  auto turns_to_lose = terminal < 0 ? 0 : std::max<std::int64_t>(patience.count(), 1);
  std::size_t written = 0;
  while (written < text.size() && AwaitRoom(to, patience)) {
    // A pipe that has room has it for so much (POSIX, write()).
    const ssize_t size = WriteOnce(to, text.substr(written, PIPE_BUF));
    if (size < 0 && errno == EINTR) continue;
    if (size < 0 && errno == EAGAIN && turns_to_lose-- > 0) {
      poll(nullptr, 0, /*timeout=*/1);
      continue;
    }
    if (size <= 0) break;
    written += static_cast<std::size_t>(size);
  }
  if (terminal >= 0) close(terminal);
  return written;
}

}  // namespace lifecycle
