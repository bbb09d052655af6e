#include "tests/common/slow_link.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <list>
#include <utility>
#include <vector>

namespace testkit {
namespace {

using SteadyClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTick{5};

void Require(bool done, const char* what) {
  if (done) return;
  std::perror(what);
  std::abort();
}

sockaddr_in Address(const std::string& text) {
  const std::size_t colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1))));
  Require(inet_pton(AF_INET, text.substr(0, colon).c_str(), &address.sin_addr) == 1, "SlowLink");
  return address;
}

int NewSocket(int receive_buffer) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  Require(fd >= 0, "SlowLink: socket");
  if (receive_buffer > 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
  }
  return fd;
}

int Listen(int receive_buffer) {
  const int fd = NewSocket(receive_buffer);
  const sockaddr_in any = Address("127.0.0.1:0");
  Require(bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0, "SlowLink: bind");
  Require(listen(fd, SOMAXCONN) == 0, "SlowLink: listen");
  fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

void CloseWithReset(int fd) {
  const linger now = {1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
  close(fd);
}

// The bytes of one connection in one direction.
class Direction {
 public:
  Direction(int from, int to, std::atomic<std::int64_t>& sent)
      : from_(from), to_(to), sent_(sent) {}

  // What it waits for, besides time.
  pollfd Waits(SteadyClock::time_point now) const {
    if (Due(now)) return {to_, POLLOUT, 0};
    if (MayRead()) return {from_, POLLIN, 0};
    return {-1, 0, 0};
  }

  void Step(SteadyClock::time_point now, std::int64_t rate, std::chrono::milliseconds delay) {
    Earn(now, rate);
    Write(now);
    if (Due(now)) return;  // Whoever does not read holds up whoever writes.
    if (MayRead()) Read(now + delay);
    Write(now);
  }

  // Everything has been passed, the end as well.
  bool ended() const { return ended_; }
  // `from` was reset, and what came before has been passed; or `to` was.
  bool from_reset() const { return from_reset_ && queue_.empty(); }
  bool to_reset() const { return to_reset_; }

 private:
  struct Piece {
    SteadyClock::time_point due;
    std::string bytes;  // Empty: the end.
  };

  bool MayRead() const { return allowance_ >= 1 && !read_all_ && !from_reset_; }
  bool Due(SteadyClock::time_point now) const {
    return !queue_.empty() && queue_.front().due <= now;
  }

  // Little is saved up: a link does not catch up after a pause.
  void Earn(SteadyClock::time_point now, std::int64_t rate) {
    const std::chrono::duration<double> passed = now - std::exchange(earned_at_, now);
    const double per_second = static_cast<double>(rate);
    const double most = rate == 0 ? 0 : std::clamp(per_second / 50, 1.0, 1048576.0);
    allowance_ = std::min(most, allowance_ + passed.count() * per_second);
  }

  void Read(SteadyClock::time_point due) {
    char bytes[65536];
    const std::size_t most = std::min(sizeof bytes, static_cast<std::size_t>(allowance_));
    const ssize_t got = recv(from_, bytes, most, MSG_DONTWAIT);
    if (got < 0) {
      from_reset_ = errno != EAGAIN;
      return;
    }
    allowance_ -= static_cast<double>(got);
    sent_ += got;
    read_all_ = got == 0;
    queue_.push_back({due, std::string(bytes, static_cast<std::size_t>(got))});
  }

  void Write(SteadyClock::time_point now) {
    for (; Due(now); queue_.pop_front()) {
      std::string& bytes = queue_.front().bytes;
      if (bytes.empty()) {
        shutdown(to_, SHUT_WR);
        ended_ = true;
        continue;
      }
      const ssize_t wrote = send(to_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      if (wrote < 0) {
        to_reset_ = errno != EAGAIN;
        return;
      }
      bytes.erase(0, static_cast<std::size_t>(wrote));
      if (!bytes.empty()) return;
    }
  }

  const int from_;
  const int to_;
  std::atomic<std::int64_t>& sent_;
  SteadyClock::time_point earned_at_ = SteadyClock::now();
  double allowance_ = 0;  // Bytes that may be read now.
  bool read_all_ = false;
  bool ended_ = false;
  bool from_reset_ = false;
  bool to_reset_ = false;
  std::deque<Piece> queue_;
};

}  // namespace

class SlowLink::Connection {
 public:
  Connection(int caller, int server, SlowLink& link)
      : caller_(caller),
        server_(server),
        link_(link),
        up_(caller, server, link.sent_up_),
        down_(server, caller, link.sent_down_) {
    const int one = 1;
    for (const int fd : {caller, server})
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  ~Connection() {
    const auto end = reset_ ? CloseWithReset : +[](int fd) { close(fd); };
    end(caller_);
    end(server_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Both sides are reset when it is destroyed.
  void Reset() { reset_ = true; }

  // False: it has ended.
  bool Step(SteadyClock::time_point now) {
    up_.Step(now, link_.up_rate_, link_.delay_);
    down_.Step(now, link_.down_rate_, link_.delay_);
    const bool by_server = down_.from_reset() || (up_.to_reset() && !down_.ended());
    if (by_server) ++link_.resets_;
    reset_ = by_server || up_.from_reset() || up_.to_reset() || down_.to_reset();
    return !reset_ && !(up_.ended() && down_.ended());
  }

  void AddTo(std::vector<pollfd>& polled, SteadyClock::time_point now) const {
    polled.push_back(up_.Waits(now));
    polled.push_back(down_.Waits(now));
  }

 private:
  const int caller_;
  const int server_;
  SlowLink& link_;
  Direction up_;
  Direction down_;
  bool reset_ = false;
};

SlowLink::SlowLink(std::string server, const Options& options)
    : server_(std::move(server)),
      delay_(options.delay),
      receive_buffer_(options.receive_buffer),
      listener_(Listen(options.receive_buffer)),
      stop_(eventfd(0, EFD_CLOEXEC)),
      up_rate_(options.bytes_per_second),
      down_rate_(options.bytes_per_second) {
  sockaddr_in bound{};
  socklen_t size = sizeof bound;
  Require(getsockname(listener_, reinterpret_cast<sockaddr*>(&bound), &size) == 0, "SlowLink");
  address_ = "127.0.0.1:" + std::to_string(ntohs(bound.sin_port));
  thread_ = std::thread([this] { Run(); });
}

SlowLink::~SlowLink() {
  eventfd_write(stop_, 1);
  thread_.join();
  close(stop_);
  close(listener_);
}

void SlowLink::Run() {
  std::list<Connection> connections;
  for (int cuts = 0;;) {
    std::vector<pollfd> polled = {{stop_, POLLIN, 0}, {listener_, POLLIN, 0}};
    const SteadyClock::time_point now = SteadyClock::now();
    for (const Connection& connection : connections) connection.AddTo(polled, now);
    poll(polled.data(), polled.size(), connections.empty() ? -1 : static_cast<int>(kTick.count()));
    if (polled[0].revents != 0) return;
    if (const int all = cuts_; all != cuts) {
      cuts = all;
      for (Connection& connection : connections) connection.Reset();
      connections.clear();
    }
    Accept(connections);
    connections.remove_if([](Connection& each) { return !each.Step(SteadyClock::now()); });
  }
}

void SlowLink::Accept(std::list<Connection>& connections) {
  for (int caller; (caller = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC)) >= 0;) {
    const int server = NewSocket(receive_buffer_);
    const sockaddr_in to = Address(server_);
    if (connect(server, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) {
      connections.emplace_back(caller, server, *this);
    } else {
      close(server);
      CloseWithReset(caller);
    }
  }
}

}  // namespace testkit
