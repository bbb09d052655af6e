#ifndef SERVICE_RPC_CONNECTIONS_PEER_SILENCE_H_
#define SERVICE_RPC_CONNECTIONS_PEER_SILENCE_H_

#include <chrono>
#include <cstdint>
#include <optional>

#include "service/lifecycle/clock.h"

namespace rpc {

// Whether something may still be under way on a connection, judged by what the kernel says of its
// socket. For ConnectionDrain; without sockets and without a clock.
//
// How long must it be silent? A client may write a PING up to 0.2 s after an answer (BDP
// estimation) and must not meet a closed socket, and whatever it writes needs half a round trip.
// So: as long as it is told, or twice the round trip plus 0.2 s if that is longer. Where bytes took
// long to leave, the peer or a proxy reads slowly and still holds some of them: twice as long as they
// took. On an old connection that PING comes later, ten seconds at most (grpc/grpc: bdp_estimator.cc);
// once it has come there is no other one before the next answer. So, of a peer whose requests are known
// to stand still, bytes count for 0.2 s and twice the round trip alone.
// Bytes of which no more leave, and a peer that sends something other than a request, are given up
// after kStalled.
//
// Threads: one at a time.
class PeerSilence {
 public:
  using TimePoint = lifecycle::Clock::TimePoint;
  using Duration = lifecycle::Clock::Duration;

  static constexpr Duration kBdpPing = std::chrono::milliseconds(200);
  // A few retransmissions (RFC 6298).
  static constexpr Duration kStalled = std::chrono::seconds(5);

  // What gRPC has recorded of the peer's requests.
  struct Requests {
    std::int64_t begun = 0;  // Since it connected.
    std::int64_t open = 0;   // Of these, now.

    bool operator==(const Requests&) const = default;
  };

  // What the kernel says, or what ConnectionDrain takes for it where the kernel does not know.
  struct Numbers {
    TimePoint received;  // The last byte in either direction.
    TimePoint sent;
    Duration round_trip{};
    int unsent = 0;                      // Answer bytes that the peer has not acknowledged.
    std::optional<Requests> requests{};  // Unset: not known.
  };

  // `begun`: when the drain began. `silence`: how long it must last.
  PeerSilence(TimePoint begun, Duration silence)
      : silence_(silence),
        numbers_{begun, begun},
        moved_(begun),
        requested_(begun),
        all_sent_(begun),
        last_unsent_(begun) {}

  // Call it often: a time that the kernel does not tell is that of the call which noticed it.
  void Note(TimePoint now, const Numbers& numbers);

  // Whether something may be under way. `busy`: when a call or request was last seen on any
  // connection. `awake`: since when the process has been running, so that it has read what came.
  // Requires: Note() of this moment.
  bool Holds(TimePoint now, TimePoint busy, TimePoint awake) const;

  // When the last byte was received.
  TimePoint received() const { return numbers_.received; }
  // When bytes arrived, or left.
  TimePoint moved() const { return moved_; }
  // Whether it has not acknowledged an answer.
  bool owed() const { return numbers_.unsent > 0; }

 private:
  Duration silence_;
  Numbers numbers_;
  TimePoint moved_;
  TimePoint requested_;    // When bytes moved that may be a request, or its answer.
  TimePoint all_sent_;     // When nothing was unsent.
  TimePoint last_unsent_;  // When something was.
  Duration took_{};        // The longest from the one to the other.
};

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_PEER_SILENCE_H_
