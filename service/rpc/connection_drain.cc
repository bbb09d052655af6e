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
  begun_ = sent_ = busy_ = moved_ = unsent_ = next_look_ = clock_.Now();
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
  if (kernel.unsent > 0 || Arriving() > 0) busy_ = now;
  if (kernel.unsent_bytes != unsent_bytes_) moved_ = now;
  moved_ = std::max(moved_, now - kernel.since_data);
  unsent_bytes_ = kernel.unsent_bytes;
  const Clock::Duration enough =
      std::max({kSilence, 2 * kernel.round_trip + kBdpPing, 2 * (unsent_ - begun_)});
  const Clock::Duration idle = now - busy_;
  const Clock::Duration still = now - moved_;
  const bool silent = std::min(idle, still) >= enough || std::max(idle, still) >= kStalled;
  state_ = silent ? State::kSilent : State::kBusy;
  next_look_ = now + std::max(kLookInterval, kLookShare * (clock_.Now() - now));
  return state_;
}

lifecycle::Traffic::Unfinished ConnectionDrain::Unfinished() const {
  return {.calls = calls_.running(), .requests = Arriving(), .answers = LookAtSockets().unsent};
}

ConnectionDrain::Kernel ConnectionDrain::LookAtSockets() const {
  Kernel kernel;
  const auto look = [&kernel](int fd) {
    int unsent = 0;
    if (ioctl(fd, SIOCOUTQ, &unsent) == 0 && unsent > kControlFrameBytes) {
      ++kernel.unsent;
      kernel.unsent_bytes += unsent;
    }
    tcp_info info{};
    socklen_t size = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return;  // A unix socket.
    kernel.since_data =
        std::min<Clock::Duration>(kernel.since_data, milliseconds(info.tcpi_last_data_recv));
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
