#ifndef TESTS_COMMON_UNREAD_PIPE_H_
#define TESTS_COMMON_UNREAD_PIPE_H_

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/common/temp_dir.h"

namespace testkit {

// A full named pipe that nobody reads, like that of a stuck log collector.
class UnreadPipe {
 public:
  UnreadPipe() {
    if (mkfifo(path_.c_str(), 0600) != 0) return;
    // Both ends: it has a reader, and no writer waits for one.
    fd_ = open(path_.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
    const std::string much(1 << 20, '.');
    while (write(fd_, much.data(), much.size()) > 0) continue;
  }
  ~UnreadPipe() { close(fd_); }
  UnreadPipe(const UnreadPipe&) = delete;
  UnreadPipe& operator=(const UnreadPipe&) = delete;

  // A command that runs a program with the pipe in place of descriptor `fd`, "1" or "2": for
  // ServerProcess's `under`.
  std::vector<std::string> As(const std::string& fd) const {
    return {"/bin/sh", "-c", "exec \"$0\" \"$@\" " + fd + ">" + path_};
  }

 private:
  const TempDir directory_;
  const std::string path_ = directory_.File("pipe");
  int fd_ = -1;
};

}  // namespace testkit

#endif  // TESTS_COMMON_UNREAD_PIPE_H_
