#include "service/rpc/listener.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace rpc {
namespace {

// Callers that arrive in one moment, until they are accepted; the kernel's own
// limit (net.core.somaxconn) holds as well.
constexpr int kBacklog = 4096;

struct HostAndPort {
  std::string host;
  std::string port;
};

std::optional<HostAndPort> Split(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  HostAndPort split{address.substr(0, colon), address.substr(colon + 1)};
  if (split.host.size() >= 2 && split.host.front() == '[' && split.host.back() == ']') {
    split.host = split.host.substr(1, split.host.size() - 2);
  }
  int port = 0;
  if (split.host.empty() || !absl::SimpleAtoi(split.port, &port) || port < 0 || port > 65535) {
    return std::nullopt;
  }
  return split;
}

// The port of a TCP socket's own end; 0 of anything else.
in_port_t LocalPort(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return 0;
  switch (storage.ss_family) {
    case AF_INET:
      return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
    case AF_INET6:
      return ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
    default:
      return 0;
  }
}

std::string BoundAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size);
  char host[NI_MAXHOST] = "";
  char port[NI_MAXSERV] = "";
  getnameinfo(reinterpret_cast<sockaddr*>(&storage), size, host, sizeof host, port, sizeof port,
              NI_NUMERICHOST | NI_NUMERICSERV);
  return storage.ss_family == AF_INET6 ? absl::StrCat("[", host, "]:", port)
                                       : absl::StrCat(host, ":", port);
}

absl::Status BindError(const std::string& address, int error) {
  const std::string what = absl::StrCat("cannot listen on ", address, ": ");
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(
          absl::StrCat(what, "another process listens there; stop it or choose another --address"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "not permitted; ports below 1024 need a privilege"));
    case EADDRNOTAVAIL:
      return absl::InvalidArgumentError(
          absl::StrCat(what, "this machine has no such address; 0.0.0.0 stands for all it has"));
    default:
      return absl::UnavailableError(absl::StrCat(what, std::strerror(error)));
  }
}

// A listening socket, or -1 with errno.
int Listen(const addrinfo& candidate) {
  const int fd = socket(candidate.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  // Binds although connections of an earlier process linger. Not SO_REUSEPORT: two
  // servers on one port would share its callers without knowing of each other.
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, candidate.ai_addr, candidate.ai_addrlen) == 0 && listen(fd, kBacklog) == 0) {
    return fd;
  }
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(const std::string& address) {
  const std::optional<HostAndPort> split = Split(address);
  if (!split) {
    return absl::InvalidArgumentError(absl::StrCat(
        "\"", address, "\" is no address; write HOST:PORT, for example 127.0.0.1:50051"));
  }
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* candidates = nullptr;
  if (const int error = getaddrinfo(split->host.c_str(), split->port.c_str(), &hints, &candidates);
      error != 0) {
    return absl::NotFoundError(
        absl::StrCat("cannot listen on ", address, ": ", gai_strerror(error)));
  }
  int fd = -1;
  int error = 0;
  for (const addrinfo* each = candidates; each != nullptr && fd < 0; each = each->ai_next) {
    fd = Listen(*each);
    if (fd < 0) error = errno;
  }
  freeaddrinfo(candidates);
  if (fd < 0) return BindError(address, error);

  const int wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake_fd < 0) {
    error = errno;
    close(fd);
    return BindError(address, error);
  }
  return std::unique_ptr<Listener>(new Listener(fd, wake_fd, BoundAddress(fd)));
}

Listener::Listener(int fd, int wake_fd, std::string address)
    : fd_(fd), wake_fd_(wake_fd), port_(LocalPort(fd)), address_(std::move(address)) {}

Listener::~Listener() {
  Close();
  close(wake_fd_);
}

void Listener::Start(Accept accept) {
  thread_ = std::thread([this, accept = std::move(accept)] { Run(accept); });
}

void Listener::Close() {
  if (fd_ < 0) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof one);
  if (thread_.joinable()) thread_.join();
  close(fd_);
  fd_ = -1;
}

void Listener::CutConnections() const {
  DIR* const open_files = opendir("/proc/self/fd");
  if (open_files == nullptr) return;
  while (const dirent* const entry = readdir(open_files)) {
    int fd = -1;
    // Not through a duplicate, although gRPC may close its own meanwhile: to close the
    // duplicate of what has become a database would drop the database's locks.
    if (absl::SimpleAtoi(entry->d_name, &fd) && fd != fd_ && LocalPort(fd) == port_) {
      shutdown(fd, SHUT_RDWR);
    }
  }
  closedir(open_files);
}

void Listener::Run(const Accept& accept) {
  constexpr int kNoTimeout = -1;
  constexpr int kUntilItMayWorkAgain = 10;  // Milliseconds.
  int timeout = kNoTimeout;
  for (;;) {
    pollfd fds[] = {{wake_fd_, POLLIN, 0}, {fd_, POLLIN, 0}};
    // When nobody can be accepted the port stays readable: look at it less often.
    poll(fds, timeout == kNoTimeout ? 2 : 1, timeout);
    timeout = AcceptArrived(accept) ? kNoTimeout : kUntilItMayWorkAgain;
    if ((fds[0].revents & POLLIN) != 0) return;
  }
}

bool Listener::AcceptArrived(const Accept& accept) {
  for (;;) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      // Answers are small and must not wait for the next one.
      const int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      accept(fd_, fd);
      continue;
    }
    switch (errno) {
      case EAGAIN:
#if EAGAIN != EWOULDBLOCK
      case EWOULDBLOCK:
#endif
        return true;
      case EINTR:
      case ECONNABORTED:
      case EPROTO:
      case ENETDOWN:
      case ENETUNREACH:
      case EHOSTDOWN:
      case EHOSTUNREACH:
      case ENONET:
      case ENOPROTOOPT:
      case EOPNOTSUPP:
        // That one connection is gone already (accept(2), "Error handling").
        continue;
      default:
        // EMFILE and its like; and whatever is wrong with the port itself must not
        // keep a core busy.
        return false;
    }
  }
}

}  // namespace rpc
