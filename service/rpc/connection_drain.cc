#include "service/rpc/connection_drain.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <utility>

#include "service/rpc/connection_guard.h"

namespace rpc {
namespace {

using lifecycle::Clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// Most handshakes that were under way have ended by then; the others have longer and longer.
constexpr Clock::Duration kFirstGoawayInterval = milliseconds(50);
constexpr Clock::Duration kLastGoawayInterval = milliseconds(500);
// How long a call may count as a request that is arriving while it ends.
constexpr Clock::Duration kEnding = milliseconds(250);
// After such a gap the process was stopped, and what arrived meanwhile is still to be read.
constexpr Clock::Duration kFrozen = milliseconds(500);
// How often the sockets are checked, at least this many times as long as a check takes.
constexpr Clock::Duration kLookInterval = milliseconds(10);
constexpr int kLookShare = 10;

// Of a unix socket SIOCOUTQ counts what the kernel spends on what the peer has not read, 768 bytes for
// the smallest write: so much is taken for a few of those that kControlFrameBytes is for.
constexpr int kControlFrameMemory = 4096;

bool IsUnix(int fd) {
  int domain = 0;
  socklen_t size = sizeof domain;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
}

// Bytes that the peer has not acknowledged, if they are more than control frames. Of a unix socket:
// that it has not read, and could still read once the socket is closed.
int Unsent(int fd) {
  const int control = IsUnix(fd) ? kControlFrameMemory : kControlFrameBytes;
  int bytes = 0;
  return ioctl(fd, SIOCOUTQ, &bytes) == 0 && bytes > control ? bytes : 0;
}

// Unlike a descriptor's number, no other socket ever has it.
std::uint64_t Cookie(int fd) {
  std::uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size);
  return cookie;
}

}  // namespace

ConnectionDrain::ConnectionDrain(grpc::Server& server, const Listeners& listeners,
                                 const Connections& connections, const CallTracker& calls,
                                 Clock& clock)
    : listeners_(listeners),
      connections_(connections),
      calls_(calls),
      clock_(clock),
      goaways_(server) {}

void ConnectionDrain::Begin() {
  begun_ = sent_ = looked_ = awake_ = busy_ = next_look_ = clock_.Now();
  interval_ = kFirstGoawayInterval;
  std::vector<std::uint16_t> ports;
  for (const auto& listener : listeners_) {
    for (const std::uint16_t port : listener->ports()) ports.push_back(port);
  }
  lingering_.emplace(std::move(ports));
  goaways_.Send();
}

ConnectionDrain::State ConnectionDrain::Look() {
  const Clock::TimePoint now = clock_.Now();
  if (now - std::exchange(looked_, now) >= kFrozen) awake_ = now;
  if (now - sent_ >= interval_) {
    goaways_.Send();
    sent_ = now;
    interval_ = std::min(2 * interval_, kLastGoawayInterval);
  }
  // gRPC knows a connection once its handshake has ended, and forgets it before it closes it: until
  // then, and from then on, its socket is open, or lingers.
  if (AllGone() && !AnySocket() && AllGone()) return state_ = State::kGone;
  const bool runs = calls_.running() > 0;
  if (runs) {
    busy_ = now;
    state_ = State::kBusy;
    if (!refuses_calls_) return state_;
  }
  if (now < next_look_) return state_;
  const int arriving = Arriving();
  if (arriving > 0) busy_ = now;
  // A connection without a socket has ended; gRPC is about to notice.
  bool any = false, busy = runs, moving = false;
  std::optional<Streamless> streamless;
  Clock::TimePoint moved = awake_;
  for (const auto& listener : listeners_) {
    listener->ForEachConnection([&](int fd) {
      any = true;
      const PeerSilence& peer = PeerOf(fd, now, arriving, streamless);
      moved = std::max(moved, peer.moved());
      if (peer.Holds(now, busy_, awake_)) busy = true;
      if (refuses_calls_ && peer.received() > *refuses_calls_) moving = true;
    });
  }
  if (refuses_calls_) NoteCutRequests(now, arriving, moving);
  if (!any && now - std::max(busy_, awake_) < PeerSilence::kStalled) busy = true;
  if (arriving > 0 && now - moved < PeerSilence::kStalled) busy = true;
  state_ = busy ? State::kBusy : State::kSilent;
  next_look_ = now + std::max(kLookInterval, kLookShare * (clock_.Now() - now));
  return state_;
}

bool ConnectionDrain::AllGone() {
  return lingering_->Count() == 0 && !lingering_->AnyOpen() && !connections_.Any();
}

bool ConnectionDrain::AnySocket() const {
  bool any = false;
  for (const auto& listener : listeners_) {
    listener->ForEachConnection([&any](int) { any = true; });
  }
  return any;
}

ConnectionDrain::Streamless ConnectionDrain::WithoutStreams() const {
  const auto records = ConnectionGuard::Records(connections_.server_id());
  Streamless streamless;
  for (const ConnectionGuard::Connection& each : records) {
    if (each.started == 0 && !each.peer.empty()) streamless.insert(each.peer);
  }
  // A peer may use one port for connections to several of ours.
  for (const ConnectionGuard::Connection& each : records) {
    if (each.started > 0) streamless.erase(each.peer);
  }
  return streamless;
}

int ConnectionDrain::UnsentAnswers(int fd, std::optional<Streamless>& streamless) const {
  const int unsent = Unsent(fd);
  if (unsent == 0) return 0;
  if (!streamless) streamless = WithoutStreams();
  // One of which gRPC has no record any more may have had streams.
  return streamless->contains(ConnectionGuard::PeerOf(fd)) ? 0 : unsent;
}

int ConnectionDrain::OwedAnswers() const {
  // Listeners on one port, of several addresses, see each other's connections.
  std::unordered_set<std::uint64_t> owed;
  std::optional<Streamless> streamless;
  for (const auto& listener : listeners_) {
    listener->ForEachConnection([&](int fd) {
      if (UnsentAnswers(fd, streamless) > 0) owed.insert(Cookie(fd));
    });
  }
  return static_cast<int>(owed.size());
}

void ConnectionDrain::RefusesCalls() {
  if (refuses_calls_) return;
  refuses_calls_ = next_look_ = clock_.Now();
}

void ConnectionDrain::NoteCutRequests(Clock::TimePoint now, int arriving, bool moving) {
  arriving_ = std::min(arriving_, arriving);
  if (moving && now - *refuses_calls_ >= kEnding)
    cut_requests_ = std::max(cut_requests_, arriving_);
}

lifecycle::Traffic::Unfinished ConnectionDrain::Unfinished() const {
  return {.calls = calls_.running(),
          .requests = std::max(cut_requests_, Arriving()),
          .answers = OwedAnswers()};
}

PeerSilence& ConnectionDrain::PeerOf(int fd, Clock::TimePoint now, int arriving,
                                     std::optional<Streamless>& streamless) {
  // A unix socket: any of them may be the one on which a request arrives.
  PeerSilence::Numbers numbers{.received = arriving > 0 ? now : begun_,
                               .sent = busy_,
                               .unsent = UnsentAnswers(fd, streamless)};
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) {
    numbers.received = now - milliseconds(info.tcpi_last_data_recv);
    numbers.sent = now - milliseconds(info.tcpi_last_data_sent);
    numbers.round_trip = microseconds(info.tcpi_rtt);
  }
  PeerSilence& peer = peers_.try_emplace(Cookie(fd), begun_).first->second;
  peer.Note(now, numbers);
  return peer;
}

int ConnectionDrain::Arriving() const {
  // In this order: a call that ends meanwhile must not be mistaken for a request.
  const int calls = calls_.running() + calls_.infrastructure();
  return std::max(connections_.OpenStreams() - calls, 0);
}

}  // namespace rpc
