#include "service/rpc/connections/listener.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "service/rpc/connections/lingering_sockets.h"
#include "service/rpc/connections/open_descriptors.h"

namespace rpc {
namespace {

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

bool Has(const std::vector<std::string>& addresses, const std::string& address) {
  return std::find(addresses.begin(), addresses.end(), address) != addresses.end();
}

std::vector<std::string> LocalAddresses(const std::vector<Descriptor>& sockets) {
  std::vector<std::string> addresses;
  for (const Descriptor& socket : sockets) {
    std::string address = LocalAddress(socket.fd());
    if (!Has(addresses, address)) addresses.push_back(std::move(address));
  }
  return addresses;
}

void ResetWhenClosed(int fd) {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

}  // namespace

absl::StatusOr<std::unique_ptr<Listener>> Listener::Bind(const std::string& address,
                                                         InheritedSockets* inherited) {
  absl::StatusOr<BoundSockets> sockets = BindAddress(address, inherited);
  if (!sockets.ok()) return sockets.status();
  Descriptor wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake.open()) return BindError(address, errno);
  std::unique_ptr<Listener> listener(new Listener(*std::move(sockets), std::move(wake)));
  try {
    listener->thread_ = std::thread([&self = *listener] { self.Run(); });
  } catch (const std::system_error& error) {
    return absl::UnavailableError(
        absl::StrCat("cannot listen on ", address, ": no thread: ", error.what()));
  }
  return listener;
}

Listener::Listener(BoundSockets bound, Descriptor wake)
    : sockets_(std::move(bound.all)),
      wake_(std::move(wake)),
      locals_(LocalAddresses(sockets_)),
      address_(BoundAddress(sockets_.front().fd())),
      unix_path_(std::move(bound.unix_path)),
      unix_file_(FileAt(unix_path_)),
      file_is_anothers_(bound.inherited),
      shared_(bound.shared) {}

Listener::~Listener() { Close(); }

absl::Status Listener::Listen() {
  for (const Descriptor& socket : sockets_) {
    if (listen(socket.fd(), kBacklog) != 0) return BindError(address_, errno);
  }
  return absl::OkStatus();
}

void Listener::Start(Accept accept, int max_descriptors, std::function<void()> refused,
                     std::function<void(int error)> cannot_accept) {
  accept_ = std::move(accept);
  max_descriptors_ = max_descriptors;
  refused_ = std::move(refused);
  cannot_accept_ = std::move(cannot_accept);
  file_is_anothers_ = false;
  may_run_ = true;
  may_run_.notify_one();
}

void Listener::Close() {
  if (sockets_.empty()) return;
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(wake_.fd(), &one, sizeof one);
  may_run_ = true;
  may_run_.notify_one();
  if (thread_.joinable()) thread_.join();
  // Another process may have put its own there meanwhile.
  const bool own_file = !unix_path_.empty() && !shared_ && !file_is_anothers_;
  if (own_file && FileAt(unix_path_) == unix_file_) unlink(unix_path_.c_str());
  std::lock_guard lock(closing_);
  sockets_.clear();
}

std::vector<int> Listener::Duplicate() const {
  std::vector<int> duplicates;
  std::lock_guard lock(closing_);
  for (const Descriptor& socket : sockets_) {
    const int fd = fcntl(socket.fd(), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
      for (const int each : duplicates) close(each);
      return {};
    }
    duplicates.push_back(fd);
  }
  return duplicates;
}

void Listener::ForEachConnection(const std::function<void(int fd)>& look) const {
  for (const int fd : OpenDescriptors()) {
    // Not through a duplicate, although gRPC may close its own meanwhile: to close the
    // duplicate of what has become a database would drop the database's locks.
    if (IsConnected(fd) && Has(locals_, LocalAddress(fd))) look(fd);
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
  std::vector<std::uint16_t> ports;
  for (const std::string& local : locals_) {
    int port = 0;
    if (absl::SimpleAtoi(local, &port)) ports.push_back(static_cast<std::uint16_t>(port));
  }
  return ports;
}

void Listener::Run() {
  constexpr int kNoTimeout = -1;
  constexpr int kUntilItMayWorkAgain = 10;  // Milliseconds.
  constexpr int kAtATime = 64;              // Close() does not wait for more.
  may_run_.wait(false);
  if (!accept_) return;
  std::vector<pollfd> fds = {{wake_.fd(), POLLIN, 0}};
  for (const Descriptor& socket : sockets_) fds.push_back({socket.fd(), POLLIN, 0});
  int timeout = kNoTimeout;
  for (;;) {
    // When nobody can be accepted the port stays readable: look at it less often.
    poll(fds.data(), timeout == kNoTimeout ? fds.size() : 1, timeout);
    if ((fds.front().revents & POLLIN) != 0) break;
    timeout = kNoTimeout;
    for (const Descriptor& socket : sockets_) {
      if (!AcceptArrived(socket.fd(), kAtATime)) timeout = kUntilItMayWorkAgain;
    }
  }
  if (shared_) return;
  // Only those that are waiting now; later ones are refused, or a storm would never end.
  for (const Descriptor& socket : sockets_) AcceptArrived(socket.fd(), Waiting(socket.fd()));
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
        if (cannot_accept_) cannot_accept_(errno);
        return false;
    }
  }
  return true;
}

}  // namespace rpc
