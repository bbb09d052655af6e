#include "service/rpc/connections/bound_sockets.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace rpc {
namespace {

using Sockets = std::vector<Descriptor>;

constexpr char kUnixPrefix[] = "unix:";
constexpr char kAbstractPrefix[] = "unix-abstract:";  // As gRPC's channels have it.

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

// An address of another machine, or of a family that this one does not speak.
bool IsNoAddressHere(int error) { return error == EADDRNOTAVAIL || error == EAFNOSUPPORT; }

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

// Unset: not a socket.
std::optional<bool> Listens(int fd) {
  int listening = 0;
  socklen_t size = sizeof listening;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) != 0) return std::nullopt;
  return listening != 0;
}

absl::StatusOr<Sockets> Adopt(const std::string& address, InheritedSockets* inherited) {
  Sockets sockets;
  if (inherited != nullptr) {
    for (const int fd : inherited->Take(address)) sockets.emplace_back(fd);
  }
  if (sockets.empty() && absl::StartsWith(address, InheritedSockets::kPrefix)) {
    return absl::NotFoundError(
        absl::StrCat("cannot listen on ", address, ": ",
                     inherited == nullptr ? "no socket was passed" : inherited->Describe(),
                     "; systemd passes those of a .socket unit, under its FileDescriptorName="));
  }
  for (const Descriptor& socket : sockets) {
    int type = 0;
    socklen_t size = sizeof type;
    if (getsockopt(socket.fd(), SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_STREAM ||
        LocalAddress(socket.fd()).empty() || Listens(socket.fd()) != true) {
      return absl::InvalidArgumentError(
          absl::StrCat("cannot listen on ", address,
                       ": what was passed is not a listening stream socket; a .socket unit needs "
                       "ListenStream= and Accept=no"));
    }
    // Whoever passed it may have left it blocking, and inherits nothing from us.
    fcntl(socket.fd(), F_SETFL, fcntl(socket.fd(), F_GETFL) | O_NONBLOCK);
    fcntl(socket.fd(), F_SETFD, FD_CLOEXEC);
  }
  return sockets;
}

absl::StatusOr<Sockets> BindTcp(const std::string& address) {
  const std::optional<HostAndPort> split = Split(address);
  if (!split) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", address,
                     "\" is not an address; use HOST:PORT, for example 127.0.0.1:50051, with a "
                     "port from 0 to 65535, or unix:PATH"));
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
          static_cast<void>(absl::SimpleAtoi(LocalAddress(sockets.front().fd()), &port));
        }
        SetPort(each.address, static_cast<in_port_t>(port));
      }
      const int fd = BoundSocket(reinterpret_cast<const sockaddr*>(&each.address), each.size);
      if (fd >= 0) {
        sockets.emplace_back(fd);
      } else if (error == 0 || !IsNoAddressHere(errno)) {
        error = errno;
      }
    }
    if (!sockets.empty() && (error == 0 || IsNoAddressHere(error))) return sockets;
    if (error != EADDRINUSE) break;
  }
  return BindError(address, error);
}

absl::StatusOr<Sockets> BindUnix(const std::string& address, const std::string& path) {
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
  sockets.emplace_back(fd);
  if (listen(fd, kBacklog) != 0) return BindError(address, errno);
  return sockets;
}

}  // namespace

absl::StatusOr<BoundSockets> BindAddress(const std::string& address, InheritedSockets* inherited) {
  BoundSockets bound;
  bound.shared = absl::StartsWith(address, InheritedSockets::kPrefix);
  const bool is_file = absl::StartsWith(address, kUnixPrefix);
  if (is_file) bound.unix_path = address.substr(std::strlen(kUnixPrefix));
  absl::StatusOr<Sockets> sockets = Adopt(address, inherited);
  bound.inherited = sockets.ok() && !sockets->empty();
  if (sockets.ok() && sockets->empty()) {
    sockets = is_file ? BindUnix(address, bound.unix_path) : BindTcp(address);
  }
  if (!sockets.ok()) return sockets.status();
  bound.all = *std::move(sockets);
  return bound;
}

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

std::string LocalAddress(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return "";
  switch (storage.ss_family) {
    case AF_INET:
      return absl::StrCat(ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port));
    case AF_INET6:
      return absl::StrCat(ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port));
    case AF_UNIX: {
      if (size <= offsetof(sockaddr_un, sun_path)) return "";  // A socket pair's.
      const std::string name(reinterpret_cast<const sockaddr_un&>(storage).sun_path,
                             size - offsetof(sockaddr_un, sun_path));
      // An abstract one begins with a zero byte, and its size is its end.
      return name.front() == '\0' ? absl::StrCat(kAbstractPrefix, name.substr(1))
                                  : absl::StrCat(kUnixPrefix, name.c_str());
    }
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

bool IsConnected(int fd) { return Listens(fd) == false; }

}  // namespace rpc
