#ifndef TESTS_COMMON_NOTIFY_SOCKET_H_
#define TESTS_COMMON_NOTIFY_SOCKET_H_

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

namespace testkit {

// The socket on which systemd hears its services (sd_notify(3)).
//
// Threads: one at a time.
class NotifySocket {
 public:
  // `name`: of NOTIFY_SOCKET: a path, or "@" and an abstract name.
  explicit NotifySocket(const std::string& name)
      : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name.data(), std::min(name.size(), sizeof address.sun_path - 1));
    if (name.front() == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    if (bind(fd_, reinterpret_cast<const sockaddr*>(&address), size) != 0) std::abort();
  }
  ~NotifySocket() { close(fd_); }
  NotifySocket(const NotifySocket&) = delete;
  NotifySocket& operator=(const NotifySocket&) = delete;

  // What was received so far, in order.
  const std::vector<std::string>& Received() {
    char buffer[65536];
    for (ssize_t size; (size = recv(fd_, buffer, sizeof buffer, 0)) >= 0;) {
      received_.emplace_back(buffer, static_cast<std::size_t>(size));
    }
    return received_;
  }

  // Whether a message that begins with `text` comes, or has come.
  bool Await(const std::string& text) {
    return AwaitAny([&text](const std::string& message) { return message.starts_with(text); });
  }

  bool AwaitAny(const std::function<bool(const std::string& message)>& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (std::none_of(Received().begin(), Received().end(), wanted)) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      pollfd readable{fd_, POLLIN, 0};
      poll(&readable, 1, /*milliseconds=*/100);
    }
    return true;
  }

  std::ptrdiff_t Count(const std::string& message) {
    return std::count(Received().begin(), Received().end(), message);
  }

 private:
  const int fd_;
  std::vector<std::string> received_;
};

}  // namespace testkit

#endif  // TESTS_COMMON_NOTIFY_SOCKET_H_
