#include "service/rpc/listener.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "service/rpc/lingering_sockets.h"
#include "service/rpc/open_descriptors.h"

namespace rpc {
namespace {

// How many callers may arrive before one is accepted; the kernel's own limit
// (net.core.somaxconn) applies, too.
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

constexpr char kUnixPrefix[] = "unix:";

// What the connections of a listener have in common with it and with no other's: the port
// of their own end, or the path of a socket file. Empty: neither.
std::string LocalAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return "";
  switch (storage.ss_family) {
    case AF_INET:
      return absl::StrCat(ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port));
    case AF_INET6:
      return absl::StrCat(ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port));
    case AF_UNIX:
      if (size <= offsetof(sockaddr_un, sun_path)) return "";  // A socket pair's.
      return absl::StrCat(kUnixPrefix, reinterpret_cast<const sockaddr_un&>(storage).sun_path);
    default:
      return "";
  }
}

std::string BoundAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size);
  if (storage.ss_family == AF_UNIX) return LocalAddress(fd);
  char host[NI_MAXHOST] = "";
  char port[NI_MAXSERV] = "";
  getnameinfo(reinterpret_cast<sockaddr*>(&storage), size, host, sizeof host, port, sizeof port,
              NI_NUMERICHOST | NI_NUMERICSERV);
  return storage.ss_family == AF_INET6 ? absl::StrCat("[", host, "]:", port)
                                       : absl::StrCat(host, ":", port);
}

// An address of another machine, or of a family that this one does not speak.
bool IsNoAddressHere(int error) { return error == EADDRNOTAVAIL || error == EAFNOSUPPORT; }

absl::Status BindError(const std::string& address, int error) {
  const std::string what = absl::StrCat("cannot listen on ", address, ": ");
  if (IsNoAddressHere(error)) {
    return absl::InvalidArgumentError(absl::StrCat(
        what, "this machine does not have that address; 0.0.0.0 means all of its addresses"));
  }
  switch (error) {
    case EADDRINUSE:
      return absl::AlreadyExistsError(
          absl::StrCat(what,
                       "the address is in use, or the path is not a socket; stop the other "
                       "process or choose another address"));
    case EACCES:
    case EPERM:
      return absl::PermissionDeniedError(
          absl::StrCat(what, "permission denied; ports below 1024 need a privilege"));
    default:
      return absl::UnavailableError(absl::StrCat(what, std::strerror(error)));
  }
}

// A socket that does not listen yet, or -1 with errno.
int BoundSocket(const sockaddr* address, socklen_t size) {
  const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  // Binds although connections of an earlier process linger. Not SO_REUSEPORT: two
  // servers on one port would share its callers without knowing of each other.
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, address, size) == 0) return fd;
  const int error = errno;
  close(fd);
  errno = error;
  return -1;
}

void SetPort(sockaddr_storage& address, in_port_t port) {
  // At the same place in both families.
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  reinterpret_cast<sockaddr_in&>(address).sin_port = htons(port);
}

struct Candidate {
  sockaddr_storage address{};
  socklen_t size = 0;
};

// Each address once: a name may resolve to one several times.
std::vector<Candidate> Candidates(const addrinfo* first) {
  std::vector<Candidate> candidates;
  for (const addrinfo* each = first; each != nullptr; each = each->ai_next) {
    Candidate candidate{.size = each->ai_addrlen};
    std::memcpy(&candidate.address, each->ai_addr, each->ai_addrlen);
    const bool known =
        std::any_of(candidates.begin(), candidates.end(), [&](const Candidate& other) {
          return std::memcmp(&other.address, &candidate.address, sizeof candidate.address) == 0;
        });
    if (!known) candidates.push_back(candidate);
  }
  return candidates;
}

// How many have been established and wait at the socket; the most that may when the
// kernel does not say (a socket file).
int Waiting(int listener_fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  // Of a listening socket, tcpi_unacked is the length of its accept queue and tcpi_sacked
  // the most that it holds.
  if (getsockopt(listener_fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 && info.tcpi_sacked > 0) {
    return static_cast<int>(info.tcpi_unacked);
  }
  return kBacklog + 1;
}

// Whether an existing socket file has no listener.
bool IsStale(const sockaddr_un& name) {
  struct stat file {};
  if (lstat(name.sun_path, &file) != 0 || !S_ISSOCK(file.st_mode)) return false;
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return false;
  const bool refused = connect(fd, reinterpret_cast<const sockaddr*>(&name), sizeof name) != 0 &&
                       errno == ECONNREFUSED;
  close(fd);
  errno = EADDRINUSE;
  return refused;
}

std::pair<dev_t, ino_t> FileAt(const std::string& path) {
  struct stat file {};
  if (path.empty() || lstat(path.c_str(), &file) != 0) return {};
  return {file.st_dev, file.st_ino};
}

// Unset: not a socket.
std::optional<bool> Listens(int fd) {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) return std::nullopt;
  return listening != 0;
}

bool IsConnected(int fd) { return Listens(fd) == false; }
bool IsListening(int fd) { return Listens(fd) == true; }

void ResetWhenClosed(int fd) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace

Listener::Socket::Socket(int fd_in) : fd(fd_in) {}
Listener::Socket::~Socket() { close(fd); }

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(const std::string& address,
                                                         InheritedSockets* inherited) {
  const bool is_file = absl::StartsWith(address, kUnixPrefix);
  const bool is_passed = absl::StartsWith(address, InheritedSockets::kPrefix);
  const std::string path = is_file ? address.substr(std::strlen(kUnixPrefix)) : "";
  absl::StatusOr<Sockets> sockets = Adopt(address, inherited);
  if (sockets.ok() && sockets->empty()) {
    sockets = is_file ? BindUnix(address, path) : BindTcp(address);
  }
  if (!sockets.ok()) return sockets.status();
  const int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (wake < 0) return BindError(address, errno);
  std::unique_ptr<Listener> listener(
      new Listener(*std::move(sockets), std::make_unique<Socket>(wake), path, is_passed));
  try {
    listener->thread_ = std::thread([&self = *listener] { self.Run(); });
  } catch (const std::system_error& error) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, ": no thread: ", error.what()));
  }
  return listener;
}

absl::StatusOr<Listener::Sockets> Listener::Adopt(const std::string& address,
                                                  InheritedSockets* inherited) {
  Sockets sockets;
  if (inherited != nullptr) {
    for (const int fd : inherited->Take(address)) sockets.push_back(std::make_unique<Socket>(fd));
  }
  if (sockets.empty() && absl::StartsWith(address, InheritedSockets::kPrefix)) {
    return absl::NotFoundError(
        absl::StrCat("cannot listen on ", address, ": ",
                     inherited == nullptr ? "no socket was passed" : inherited->Describe(),
                     "; systemd passes those of a .socket unit, under its FileDescriptorName="));
  }
  for (const auto& socket : sockets) {
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(socket->fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM ||
        LocalAddress(socket->fd).empty() || !IsListening(socket->fd)) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot listen on ", address,
                       ": what was passed is not a listening stream socket; a .socket unit needs "
                       "ListenStream= and Accept=no"));
    }
    // Whoever passed it may have left it blocking, and inherits nothing from us.
    fcntl(socket->fd, F_SETFL, fcntl(socket->fd, F_GETFL) | O_NONBLOCK);
    fcntl(socket->fd, F_SETFD, FD_CLOEXEC);
  }
  return sockets;
}

absl::StatusOr<Listener::Sockets> Listener::BindTcp(const std::string& address) {
  const std::optional<HostAndPort> split = Split(address);
  if (!split) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", address,
                     "\" is not an address; use HOST:PORT, for example 127.0.0.1:50051, or "
                     "unix:PATH"));
  }
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = getaddrinfo(split->host.c_str(), split->port.c_str(), &hints, &found);
      error != 0) {
    return absl::NotFoundError(
        absl::StrCat("cannot listen on ", address, ": ", gai_strerror(error)));
  }
  std::vector<Candidate> candidates = Candidates(found);
  freeaddrinfo(found);
  const bool any_port = std::atoi(split->port.c_str()) == 0;
  // A port that is free at the first address may be taken at the second.
  constexpr int kAttempts = 20;
  int error = 0;
  for (int attempt = 0; attempt < (any_port ? kAttempts : 1); ++attempt) {
    Sockets sockets;
    error = 0;
    for (Candidate& each : candidates) {
      if (any_port) {
        int port = 0;
        if (!sockets.empty()) {
          static_cast<void>(absl::SimpleAtoi(LocalAddress(sockets.front()->fd), &port));
        }
        SetPort(each.address, static_cast<in_port_t>(port));
      }
      const int fd = BoundSocket(reinterpret_cast<const sockaddr*>(&each.address), each.size);
      if (fd >= 0) {
        sockets.push_back(std::make_unique<Socket>(fd));
      } else if (error == 0 || !IsNoAddressHere(errno)) {
        error = errno;
      }
    }
    if (!sockets.empty() && (error == 0 || IsNoAddressHere(error))) return sockets;
    if (error != EADDRINUSE) break;
  }
  return BindError(address, error);
}

absl::StatusOr<Listener::Sockets> Listener::BindUnix(const std::string& address,
                                                     const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof name.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("\"", address, "\": the path must have 1 to ",
                                                   sizeof name.sun_path - 1, " bytes"));
  }
  std::memcpy(name.sun_path, path.data(), path.size());
  const auto* const generic = reinterpret_cast<const sockaddr*>(&name);
  int fd = BoundSocket(generic, sizeof name);
  if (fd < 0 && errno == EADDRINUSE && IsStale(name)) {
    unlink(path.c_str());
    fd = BoundSocket(generic, sizeof name);
  }
  if (fd < 0) return BindError(address, errno);
  Sockets sockets;
  sockets.push_back(std::make_unique<Socket>(fd));
  if (listen(fd, kBacklog) != 0) return BindError(address, errno);
  return sockets;
}

Listener::Listener(Sockets sockets, std::unique_ptr<Socket> wake, std::string unix_path,
                   bool shared)
    : sockets_(std::move(sockets)),
      wake_(std::move(wake)),
      local_(LocalAddress(sockets_.front()->fd)),
      address_(BoundAddress(sockets_.front()->fd)),
      unix_path_(std::move(unix_path)),
      unix_file_(FileAt(unix_path_)),
      shared_(shared) {}

Listener::~Listener() { Close(); }

absl::Status Listener::Listen() {
  for (const auto& socket : sockets_) {
    if (listen(socket->fd, kBacklog) != 0) return BindError(address_, errno);
  }
  return absl::OkStatus();
}

void Listener::Start(Accept accept, int max_descriptors, std::function<void()> refused) {
  accept_ = std::move(accept);
  max_descriptors_ = max_descriptors;
  refused_ = std::move(refused);
  may_run_ = true;
  may_run_.notify_one();
}

void Listener::Close() {
  if (sockets_.empty()) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_->fd, &one, sizeof one);
  may_run_ = true;
  may_run_.notify_one();
  if (thread_.joinable()) thread_.join();
  // Another process may have put its own there meanwhile.
  if (!unix_path_.empty() && !shared_ && FileAt(unix_path_) == unix_file_) {
    unlink(unix_path_.c_str());
  }
  std::lock_guard lock(closing_);
  sockets_.clear();
}

std::vector<int> Listener::Duplicate() const {
  std::vector<int> duplicates;
  std::lock_guard lock(closing_);
  for (const auto& socket : sockets_) {
    if (const int fd = fcntl(socket->fd, F_DUPFD_CLOEXEC, 0); fd >= 0) duplicates.push_back(fd);
  }
  return duplicates;
}

void Listener::ForEachConnection(const std::function<void(int fd)>& look) const {
  for (const int fd : OpenDescriptors()) {
    // Not through a duplicate, although gRPC may close its own meanwhile: to close the
    // duplicate of what has become a database would drop the database's locks.
    if (IsConnected(fd) && LocalAddress(fd) == local_) look(fd);
  }
}

void Listener::CutConnections() const {
  ForEachConnection([](int fd) { CutConnection(fd); });
}

void Listener::ResetConnections(const std::function<bool(int fd)>& which) const {
  ForEachConnection([&which](int fd) {
    if (!which(fd)) return;
    ResetWhenClosed(fd);
    CutConnection(fd);
  });
}

std::vector<std::uint16_t> Listener::ports() const {
  const std::optional<HostAndPort> split = Split(address_);
  int port = 0;
  if (absl::StartsWith(address_, kUnixPrefix) || !split || !absl::SimpleAtoi(split->port, &port))
    return {};
  return {static_cast<std::uint16_t>(port)};
}

void Listener::Run() {
  constexpr int kNoTimeout = -1;
  constexpr int kUntilItMayWorkAgain = 10;  // Milliseconds.
  constexpr int kAtATime = 64;              // Close() does not wait for more.
  may_run_.wait(false);
  if (!accept_) return;
  std::vector<pollfd> fds = {{wake_->fd, POLLIN, 0}};
  for (const auto& socket : sockets_) fds.push_back({socket->fd, POLLIN, 0});
  int timeout = kNoTimeout;
  for (;;) {
    // When nobody can be accepted the port stays readable: look at it less often.
    poll(fds.data(), timeout == kNoTimeout ? fds.size() : 1, timeout);
    if ((fds.front().revents & POLLIN) != 0) break;
    timeout = kNoTimeout;
    for (const auto& socket : sockets_) {
      if (!AcceptArrived(socket->fd, kAtATime)) timeout = kUntilItMayWorkAgain;
    }
  }
  if (shared_) return;
  // Only those that are waiting now; later ones are refused, or a storm would never end.
  for (const auto& socket : sockets_) AcceptArrived(socket->fd, Waiting(socket->fd));
}

bool Listener::AcceptArrived(int listener_fd, int most) {
  for (int taken = 0; taken < most; ++taken) {
    const int fd = accept4(listener_fd, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= max_descriptors_) {
      if (refused_) refused_();
      ResetWhenClosed(fd);  // Nothing of it lingers in the kernel.
      close(fd);
      continue;
    }
    if (fd >= 0) {
      // Answers are small and must not wait for the next one.
      const int one = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
      accept_(listener_fd, fd);
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
        // That one connection is already gone (accept(2), "Error handling").
        continue;
      default:
        // EMFILE and its like; and whatever is wrong with the port itself must not
        // keep a core busy.
        return false;
    }
  }
  return true;
}

}  // namespace rpc
