#include "service/rpc/connections/connection_drain.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <utility>

#include "grpc/grpc.h"

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

// Lets gRPC read what comes, or, if not, nothing that comes from now on: for its epoll descriptors there
// is nothing to read before so many bytes are there. What it is reading at this moment it reads.
// Requires: a TCP socket.
void LetRead(int fd, bool may) {
  const int least = may ? 1 : std::numeric_limits<int>::max();
  setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &least, sizeof least);
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
                                 Clock& clock, Clock::Duration silence, Records records)
    : server_(server),
      listeners_(listeners),
      connections_(connections),
      calls_(calls),
      clock_(clock),
      silence_(silence),
      records_(records ? std::move(records)
                       : [id = connections.server_id()] { return ConnectionGuard::Records(id); }),
      goaways_(server) {}

void ConnectionDrain::Begin() {
  begun_ = sent_ = looked_ = awake_ = busy_ = next_look_ = clock_.Now();
  interval_ = kFirstGoawayInterval;
  std::vector<std::uint16_t> ports;
  for (const auto& listener : listeners_) {
    for (const std::uint16_t port : listener->ports()) ports.push_back(port);
  }
  lingering_.emplace(std::move(ports));
  recorded_.clear();
  NoteRecords();  // What gRPC forgets from here on lingers.
  goaways_.Send();
}

ConnectionDrain::State ConnectionDrain::Look() {
  const Clock::TimePoint now = clock_.Now();
  if (now - std::exchange(looked_, now) >= kFrozen) awake_ = now;
  std::optional<Seen> seen;
  if (now - sent_ >= interval_) {
    seen = NoteRecords();
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
    lingering_->KeepFurther(true);
    state_ = State::kBusy;
    if (!refuses_calls_) return state_;
  }
  if (now < next_look_) return state_;
  // Before the sockets: what the records no longer show has left its mark there.
  if (!seen) seen = NoteRecords();
  if (seen->arriving > 0) {
    busy_ = now;
    lingering_->KeepFurther(true);
  }
  // A connection without a socket has ended; gRPC is about to notice.
  bool any = false, busy = runs, moving = false;
  bool all_left = true, leaving = false;
  Clock::TimePoint moved = awake_;
  ForEachConnection([&](int fd) {
    any = true;
    const PeerSilence& peer = PeerOf(fd, now, *seen);
    moved = std::max(moved, peer.moved());
    const bool holds = peer.Holds(now, busy_, awake_);
    // Where gRPC has closed it and every byte has arrived, no call comes any more: it does not keep others
    // open, whose callers might call meanwhile.
    const bool has_left = lingering_->Has(fd) && !peer.owed();
    all_left = all_left && has_left;
    (has_left ? leaving : busy) |= holds;
    if (refuses_calls_ && peer.received() > *refuses_calls_) moving = true;
  });
  if (all_left || refuses_calls_) busy = busy || leaving;
  if (refuses_calls_) NoteCutRequests(now, seen->arriving, moving);
  if (!any && now - std::max(busy_, awake_) < PeerSilence::kStalled) busy = true;
  if (seen->arriving > 0 && now - moved < PeerSilence::kStalled) busy = true;
  state_ = busy ? State::kBusy : State::kSilent;
  next_look_ = now + std::max(kLookInterval, kLookShare * (clock_.Now() - now));
  return state_;
}

bool ConnectionDrain::AllGone() { return lingering_->AllClosed() && !connections_.Any(); }

bool ConnectionDrain::AnySocket() const {
  bool any = false;
  ForEachConnection([&any](int) { any = true; });
  return any;
}

void ConnectionDrain::ForEachConnection(const std::function<void(int fd)>& look) const {
  for (const auto& listener : listeners_) listener->ForEachConnection(look);
}

ConnectionDrain::Seen ConnectionDrain::LookAtRecords() const {
  // In this order: a call that ends meanwhile must not be mistaken for a request.
  const int calls = calls_.running() + calls_.infrastructure();
  const auto records = records_();
  std::int64_t open = 0;
  Seen seen;
  for (const ConnectionGuard::Connection& each : records) {
    open += each.open;
    if (each.open > 0 && each.peer.empty()) seen.through_file = true;
    PeerSilence::Requests& requests = seen.peers[each.peer];
    requests.begun += each.started;
    requests.open += each.open;
  }
  seen.arriving = std::max(static_cast<int>(open) - calls, 0);
  if (seen.arriving == 0) seen.through_file = false;
  return seen;
}

ConnectionDrain::Seen ConnectionDrain::NoteRecords() {
  Seen seen = LookAtRecords();
  for (const auto& [peer, requests] : seen.peers) recorded_.insert(peer);
  return seen;
}

int ConnectionDrain::UnsentAnswers(int fd, const Seen& seen) const {
  int bytes = 0;
  if (ioctl(fd, SIOCOUTQ, &bytes) != 0 || bytes <= kControlFrameBytes) return 0;
  if (bytes <= kControlFrameMemory && IsUnix(fd)) return 0;
  const std::string peer = ConnectionGuard::PeerOf(fd);
  if (peer.empty()) return bytes;  // Nothing tells those of a socket file apart.
  const auto record = seen.peers.find(peer);
  const bool may_have_called =
      record != seen.peers.end() ? record->second.begun > 0 : recorded_.contains(peer);
  return may_have_called ? bytes : 0;
}

int ConnectionDrain::OwedAnswers(const Seen& seen) const {
  // Listeners on one port, of several addresses, see each other's connections.
  std::unordered_set<std::uint64_t> owed;
  ForEachConnection([&](int fd) {
    if (UnsentAnswers(fd, seen) > 0) owed.insert(Cookie(fd));
  });
  return static_cast<int>(owed.size());
}

bool ConnectionDrain::CloseSilent() {
  if (state_ != State::kSilent) return true;
  bool all_of_tcp = true;
  ForEachConnection([&](int fd) { all_of_tcp = all_of_tcp && !IsUnix(fd); });
  if (!all_of_tcp) return true;
  const auto is_ours = [&](int fd) { return recorded_.contains(ConnectionGuard::PeerOf(fd)); };
  const auto let_read = [&](bool may) {
    ForEachConnection([&](int fd) {
      if (!is_ours(fd)) return;  // Another server's at this port, or one in its handshake.
      LetRead(fd, may);
      // gRPC has closed it just now, and another socket has the number.
      if (!is_ours(fd)) LetRead(fd, true);
    });
  };
  let_read(false);
  next_look_ = clock_.Now();
  const bool busy = Look() == State::kBusy;
  if (busy || Unfinished().any()) {
    let_read(true);
    return !busy;
  }
  lingering_->KeepFurther(false);  // Nothing is owed to any of them.
  grpc_server_cancel_all_calls(server_.c_server());
  return true;
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
  const Seen seen = LookAtRecords();
  return {.calls = calls_.running(),
          .requests = std::max(cut_requests_, seen.arriving),
          .answers = OwedAnswers(seen)};
}

PeerSilence& ConnectionDrain::PeerOf(int fd, Clock::TimePoint now, const Seen& seen) {
  // A unix socket: any of them may be the one on which a request arrives.
  PeerSilence::Numbers numbers{.received = seen.through_file ? now : begun_,
                               .sent = busy_,
                               .unsent = UnsentAnswers(fd, seen)};
  tcp_info info{};
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0) {
    numbers.received = now - milliseconds(info.tcpi_last_data_recv);
    numbers.sent = now - milliseconds(info.tcpi_last_data_sent);
    numbers.round_trip = microseconds(info.tcpi_rtt);
    if (const auto record = seen.peers.find(ConnectionGuard::PeerOf(fd));
        record != seen.peers.end()) {
      numbers.requests = record->second;
    }
  }
  PeerSilence& peer = peers_.try_emplace(Cookie(fd), begun_, silence_).first->second;
  peer.Note(now, numbers);
  return peer;
}

}  // namespace rpc
