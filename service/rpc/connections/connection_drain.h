#ifndef SERVICE_RPC_CONNECTIONS_CONNECTION_DRAIN_H_
#define SERVICE_RPC_CONNECTIONS_CONNECTION_DRAIN_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/calls/call_tracker.h"
#include "service/rpc/channelz/connections.h"
#include "service/rpc/connections/connection_guard.h"
#include "service/rpc/connections/goaway.h"
#include "service/rpc/connections/lingering_sockets.h"
#include "service/rpc/connections/listener.h"
#include "service/rpc/connections/peer_silence.h"

namespace rpc {

// Asks every connection of a server to leave, and reports when they have left.
//
// The problem: a client that polls its connection leaves within a round trip of the GOAWAY. One
// that is between two calls of a blocking API does not read it and must not be waited for. Its
// connection can be ended once it is known to carry nothing: no call, no request that is still
// arriving, no byte that the kernel has not delivered, and no byte in either direction for so long
// that nothing can be under way.
//
// Each connection is judged on its own: one that continues until then does not keep the others
// open, and one that is busy at that moment is waited for.
//
// How long it must be silent: peer_silence.h. A request of which nothing more arrives is given up
// after 5 s, as are bytes of which no more leave; Unfinished() says what that cuts. What a peer does
// not read of a TCP connection without any stream, or of one whose handshake has not ended, is no
// answer, however much it is.
//
// Of a socket file's connections the kernel does not say when their last byte came. As long as a
// request is arriving on any connection, and a stream is open on any of these, none of these is given
// up, so that the limit of whoever calls Look() is the only one. An answer of less than some 3 KB that
// the peer has not read is not waited for: it can still read that when the connection is closed.
//
// Threads: one at a time.
// Lifetime: everything passed in outlives it. GoawaySender's requirements apply.
class ConnectionDrain {
 public:
  using State = lifecycle::Traffic::Departure;
  using Listeners = std::vector<std::unique_ptr<Listener>>;
  using Records = std::function<std::vector<ConnectionGuard::Connection>()>;

  // `silence`: PeerSilence's. `records`: what gRPC has recorded of the server's connections, which takes
  // time for each; a look asks once at most. Null: ConnectionGuard::Records().
  ConnectionDrain(grpc::Server& server, const Listeners& listeners, const Connections& connections,
                  const CallTracker& calls, lifecycle::Clock& clock,
                  lifecycle::Clock::Duration silence, Records records = nullptr);

  // Sends the first GOAWAY. From now on, a connection that gRPC closes is kept until the kernel has
  // delivered what it holds for the caller (lingering_sockets.h).
  void Begin();

  // Sends another GOAWAY if the last one was some time ago, for connections whose handshake has
  // ended since. Requires: Begin().
  State Look();

  // If the last look found the connections silent, and nothing is cut by that, closes them all, with a
  // GOAWAY that names the last stream that was read. False: one of them is not silent any more, and none
  // was closed: look again.
  //
  // The problem: once gRPC has been told to shut down, it takes the stream of a caller who calls all the
  // same, as one may who has not read the GOAWAY, and ends it with CANCELLED (grpc/grpc:
  // src/core/lib/surface/server.cc, StartNewRpc()), which nobody sends elsewhere. So these connections are
  // closed before. First gRPC is kept from reading anything more of them, unless the kernel is short of
  // memory; then they are looked at once more. What comes later is not read, and the GOAWAY tells the
  // client so, which sends the call elsewhere by itself.
  //
  // None is closed where a request or an answer has been given up, which are to be counted, or where a
  // connection is open that came through a socket file, reading from which cannot be held up.
  //
  // Requires: Begin().
  bool CloseSilent();

  // From now on gRPC answers no request that is not complete yet, even if the rest of it arrives: it
  // is cut. Look() must be called repeatedly to see them; those whose rest arrives within a quarter of
  // a second are not told from calls that are ending.
  void RefusesCalls();

  // What has been cut, or would be now.
  lifecycle::Traffic::Unfinished Unfinished() const;

  // Closes connections at once from now on.
  void LetGo() { lingering_.reset(); }

  // Whether no GOAWAY is being sent: the last one has left for every connection, and no gRPC thread
  // is using the server for it.
  bool Idle() const { return goaways_.Idle(); }

 private:
  // What gRPC's records say.
  struct Seen {
    // How many requests are still arriving; one too many, perhaps, if a call ends at this moment.
    int arriving = 0;
    // Whether one of them may have come through a socket file.
    bool through_file = false;
    // The peers, as ConnectionGuard::PeerOf() has them. One may use a port for connections to several
    // of ours.
    std::unordered_map<std::string, PeerSilence::Requests> peers;
  };
  Seen LookAtRecords() const;
  // The same, and remembers the peers.
  Seen NoteRecords();

  PeerSilence& PeerOf(int fd, lifecycle::Clock::TimePoint now, const Seen& seen);
  // Bytes that the peer has not acknowledged, where an answer is among them. Of a unix socket: that it
  // has not read, and could still read once the socket is closed.
  int UnsentAnswers(int fd, const Seen& seen) const;
  bool AllGone();
  bool AnySocket() const;
  void ForEachConnection(const std::function<void(int fd)>& look) const;
  // Of how many connections the peer has not acknowledged an answer.
  int OwedAnswers(const Seen& seen) const;
  // `arriving`: of Seen. `moving`: something has arrived since calls are refused.
  void NoteCutRequests(lifecycle::Clock::TimePoint now, int arriving, bool moving);

  grpc::Server& server_;
  const Listeners& listeners_;
  const Connections& connections_;
  const CallTracker& calls_;
  lifecycle::Clock& clock_;
  const lifecycle::Clock::Duration silence_;
  const Records records_;
  GoawaySender goaways_;
  std::optional<LingeringSockets> lingering_;  // From Begin() to LetGo().
  lifecycle::Clock::TimePoint begun_;
  lifecycle::Clock::TimePoint sent_;       // The last GOAWAY.
  lifecycle::Clock::Duration interval_{};  // From that to the next.
  lifecycle::Clock::TimePoint looked_;     // When Look() was last called.
  lifecycle::Clock::TimePoint awake_;  // Since when the process has been running without a SIGSTOP.
  lifecycle::Clock::TimePoint busy_;   // When a call or request was last seen.
  lifecycle::Clock::TimePoint next_look_;  // At the sockets, which takes time with each.
  std::unordered_map<std::uint64_t, PeerSilence> peers_;  // By the socket's cookie.
  // The peers of which gRPC has had a record since Begin(). It has none before their handshake has
  // ended. Noted at each look, and just before each GOAWAY: that is what makes a connection leave.
  std::unordered_set<std::string> recorded_;
  State state_ = State::kBusy;
  std::optional<lifecycle::Clock::TimePoint> refuses_calls_;  // Since when.
  int arriving_ = std::numeric_limits<int>::max();            // The least seen since then.
  int cut_requests_ = 0;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_CONNECTION_DRAIN_H_
