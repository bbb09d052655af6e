#include "service/rpc/connections/lingering_sockets.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "service/rpc/connections/open_descriptors.h"

namespace rpc {
namespace {

// The existing objects. Never destroyed: gRPC closes sockets while static objects are destroyed.
struct All {
  std::mutex mutex;
  std::vector<LingeringSockets*> sockets;  // Guarded by mutex.
};

All& TheAll() {
  static All* const all = new All();
  return *all;
}

// An epoll descriptor says that what it does not know is not there, all others that they are none.
std::vector<int> Pollers() {
  std::vector<int> pollers;
  const int unknown = eventfd(0, EFD_CLOEXEC);
  for (const int fd : OpenDescriptors()) {
    if (epoll_ctl(fd, EPOLL_CTL_DEL, unknown, nullptr) != 0 && errno == ENOENT) {
      pollers.push_back(fd);
    }
  }
  if (unknown >= 0) close(unknown);
  return pollers;
}

int Unacknowledged(int fd) {
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 ? bytes : 0;
}

bool IsClosed(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0 || info.tcpi_state == TCP_CLOSE;
}

// Drops what has come: close() with something unread sends RST. True: the caller has ended.
bool ReadToTheEnd(int fd) {
  constexpr int kMost = 64;  // A caller that never stops sending is not waited for.
  char bytes[4096];
  for (int i = 0; i < kMost; ++i) {
    const ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got <= 0) return got == 0;
  }
  return false;
}

}  // namespace

LingeringSockets::LingeringSockets(std::vector<std::uint16_t> ports)
    : ports_(std::move(ports)), pollers_(Pollers()) {
  std::lock_guard lock(TheAll().mutex);
  TheAll().sockets.push_back(this);
}

LingeringSockets::~LingeringSockets() {
  {
    std::lock_guard lock(TheAll().mutex);
    std::erase(TheAll().sockets, this);
  }
  for (const int fd : kept_) {
    ReadToTheEnd(fd);
    close(fd);
  }
}

bool LingeringSockets::AllClosed() {
  std::lock_guard lock(mutex_);
  std::erase_if(kept_, [](int fd) {
    const bool ended = ReadToTheEnd(fd);
    const bool all = Unacknowledged(fd) <= kControlFrameBytes;
    if (!(all && ended) && !IsClosed(fd)) return false;
    close(fd);
    return true;
  });
  return kept_.empty();
}

bool LingeringSockets::Keep(int fd) {
  if (Unacknowledged(fd) == 0 || !IsOurs(fd)) return false;
  std::lock_guard lock(mutex_);
  if (!keeps_) return false;
  const int kept = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  if (kept < 0) return false;
  // gRPC relies on close() for this, which does it for the last descriptor alone.
  for (const int poller : pollers_) epoll_ctl(poller, EPOLL_CTL_DEL, fd, nullptr);
  kept_.push_back(kept);
  return true;
}

void LingeringSockets::KeepFurther(bool may) {
  std::lock_guard lock(mutex_);
  keeps_ = may;
}

bool LingeringSockets::Has(int fd) const {
  std::lock_guard lock(mutex_);
  return std::find(kept_.begin(), kept_.end(), fd) != kept_.end();
}

bool LingeringSockets::IsOurs(int fd) const {
  sockaddr_in6 local{};  // The port is where sockaddr_in has it.
  socklen_t size = sizeof local;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&local), &size) != 0) return false;
  if (local.sin6_family != AF_INET && local.sin6_family != AF_INET6) return false;
  return std::find(ports_.begin(), ports_.end(), ntohs(local.sin6_port)) != ports_.end();
}

void CutConnection(int fd) { syscall(SYS_shutdown, fd, SHUT_RDWR); }

}  // namespace rpc

// Found before the C library's by everything that is linked, gRPC included.
extern "C" int shutdown(int fd, int how) noexcept {
  if (how == SHUT_RDWR) {
    std::lock_guard lock(rpc::TheAll().mutex);
    for (rpc::LingeringSockets* const sockets : rpc::TheAll().sockets) {
      if (sockets->Keep(fd)) how = SHUT_WR;
    }
  }
  return static_cast<int>(syscall(SYS_shutdown, fd, how));
}
