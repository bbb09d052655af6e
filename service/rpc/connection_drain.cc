#include "service/rpc/connection_drain.h"

#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace rpc {
namespace {

using lifecycle::Clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// Most handshakes that were under way have ended by then; the others have longer and longer.
constexpr Clock::Duration kFirstGoawayInterval = milliseconds(50);
constexpr Clock::Duration kLastGoawayInterval = milliseconds(500);
constexpr Clock::Duration kSilence = std::chrono::seconds(1);
constexpr Clock::Duration kBdpPing = milliseconds(200);
// A few retransmissions (RFC 6298).
constexpr Clock::Duration kStalled = std::chrono::seconds(5);
// Who has not looked for so long was stopped, and what came meanwhile has yet to be read.
constexpr Clock::Duration kFrozen = milliseconds(500);
// How often the sockets are looked at, and how many times as long as that takes.
constexpr Clock::Duration kLookInterval = milliseconds(10);
constexpr int kLookShare = 10;

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
  begun_ = sent_ = looked_ = awake_ = busy_ = moved_ = unsent_ = next_look_ = clock_.Now();
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
  if (lingering_->Count() == 0 && !connections_.Any()) return state_ = State::kGone;
  if (calls_.running() > 0) {
    busy_ = now;
    return state_ = State::kBusy;
  }
  if (now < next_look_) return state_;
  const Kernel kernel = LookAtSockets();
  if (kernel.unsent > 0) unsent_ = now;
  const bool under_way = kernel.unsent > 0 || Arriving() > 0;
  if (under_way) busy_ = now;
  if (kernel.unsent_bytes != unsent_bytes_) moved_ = now;
  moved_ = std::max(moved_, now - kernel.since_received);
  unsent_bytes_ = kernel.unsent_bytes;
  const Clock::Duration enough =
      std::max({kSilence, 2 * kernel.round_trip + kBdpPing, 2 * (unsent_ - begun_)});
  const Clock::Duration idle = now - std::max(busy_, awake_);
  const Clock::Duration still = now - std::max(moved_, awake_);
  const Clock::Duration quiet =
      std::min({now - awake_, now - unsent_, kernel.since_received, kernel.since_sent});
  const bool silent = (!under_way && quiet >= enough) || std::max(idle, still) >= kStalled;
  state_ = silent ? State::kSilent : State::kBusy;
  next_look_ = now + std::max(kLookInterval, kLookShare * (clock_.Now() - now));
  return state_;
}

lifecycle::Traffic::Unfinished ConnectionDrain::Unfinished() const {
  return {.calls = calls_.running(), .requests = Arriving(), .answers = LookAtSockets().unsent};
}

ConnectionDrain::Kernel ConnectionDrain::LookAtSockets() const {
  Kernel kernel;
  const auto look = [this, &kernel](int fd) {
    int unsent = 0;
    if (ioctl(fd, SIOCOUTQ, &unsent) == 0 && unsent > kControlFrameBytes) {
      ++kernel.unsent;
      kernel.unsent_bytes += unsent;
    }
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) {  // A unix socket.
      kernel.since_sent = std::min(kernel.since_sent, clock_.Now() - busy_);
      return;
    }
    kernel.since_received =
        std::min<Clock::Duration>(kernel.since_received, milliseconds(info.tcpi_last_data_recv));
    kernel.since_sent =
        std::min<Clock::Duration>(kernel.since_sent, milliseconds(info.tcpi_last_data_sent));
    kernel.round_trip = std::max<Clock::Duration>(kernel.round_trip, microseconds(info.tcpi_rtt));
  };
  for (const auto& listener : listeners_) listener->ForEachConnection(look);
  return kernel;
}

int ConnectionDrain::Arriving() const {
  // In this order: what ends meanwhile must not be taken for a request.
  const int calls = calls_.running() + calls_.infrastructure();
  return std::max(connections_.OpenStreams() - calls, 0);
}

}  // namespace rpc
