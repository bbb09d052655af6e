#ifndef SERVICE_RPC_CONNECTIONS_CONNECTION_GUARD_H_
#define SERVICE_RPC_CONNECTIONS_CONNECTION_GUARD_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "service/rpc/calls/limit_log.h"

namespace rpc {

// Ends connections whose peers abuse what gRPC does not bound.
//
// The problem: gRPC's limit of concurrent streams binds only peers that have acknowledged it, and a
// stream that is reset no longer counts, although its call still costs memory and time. A few
// seconds of either freeze the server for everybody.
//
// A stream counts as open until gRPC has freed its call, which may be a moment after the peer has
// seen its end or has reset it. Hence the factor of two.
//
// Guarantees: a connection is ended soon after it
// - has more than twice `streams` open, or
// - has had `resets` of its streams fail within a second, and these were more than half of those
//   that it opened (Envoy's rule), or
// - has the most open streams of all, when there are more than `total_streams` in total: as many
//   connections are ended as it takes.
// It is ended at the socket: its calls are cancelled, and its peer sees a reset. All other
// connections continue. Soon means within a fraction of a second, and with very many connections
// within some eleven times as long as it takes to look at all of them.
//
// A call that the server itself ends without its handler's answer looks like a reset in gRPC's
// records (grpc/grpc: chttp2_transport.cc, ~grpc_chttp2_stream). Excuse() tells of those that are not
// the peer's fault. What a handler cancels is counted, and so is a call whose caller's own deadline
// passes.
//
// Cost: none per call. One counter of gRPC's records (channelz) is read a few times a second, and
// the connections one by one only when it has grown by more than what ended well. At most a tenth
// of one core is spent.
//
// Limitation: it cannot end a connection that came through a socket file, whose peer has no address
// to find it by; it logs once that it would have. Those peers are on this machine and have the file's
// permission. Their streams count in the total, but if ending all others were not enough, none of
// these is ended for it.
//
// Threads: any, but Stop() and the destructor on one; it has its own thread until then.
class ConnectionGuard {
 public:
  using Clock = std::chrono::steady_clock;

  // 0: no limit.
  struct Limits {
    int streams = 0;
    int resets = 0;
    int total_streams = 0;
  };

  // What gRPC has recorded of one connection.
  struct Connection {
    std::int64_t id = 0;
    std::string peer;  // Address and port, in network byte order; empty: none.
    std::int64_t started = 0;
    std::int64_t failed = 0;  // Ended without an answer.
    std::int64_t open = 0;
  };

  // `end`: ends the connection of that peer. `tick`: what its thread does besides, a few times a
  // second. Neither may block.
  //
  // Throws std::system_error when a thread cannot be created.
  ConnectionGuard(std::int64_t server_id, Limits limits,
                  std::function<void(const std::string& peer)> end, LimitLog::Write write,
                  std::function<void()> tick);
  ~ConnectionGuard() { Stop(); }
  ConnectionGuard(const ConnectionGuard&) = delete;
  ConnectionGuard& operator=(const ConnectionGuard&) = delete;

  // Ends no connection any more, and says the rest of its log.
  void Stop();

  // The server is about to end a call of this peer, as grpc_call_get_peer() writes it: one failed
  // stream of its connection is not counted. From any thread.
  void Excuse(const std::string& peer);

  // How many connections were ended.
  std::int64_t ended() const;

  // What gRPC has recorded of the connections of a server. Takes time for each.
  static std::vector<Connection> Records(std::int64_t server_id);

  // The address of the peer of a connected socket, as in Connection::peer; empty: none.
  static std::string PeerOf(int fd);
  // The same of what grpc_call_get_peer() returns: "ipv4:127.0.0.1:1234", "ipv6:%5B::1%5D:1234".
  static std::string PeerOf(const std::string& uri);

 private:
  // The counters at the start of the interval over which resets are counted.
  struct Base {
    Clock::time_point at{};
    std::int64_t started = 0;
    std::int64_t failed = 0;
    std::int64_t seen = 0;     // How many have failed by the last look, and how many of them
    std::int64_t excused = 0;  // are not the peer's fault.
    std::int64_t look = 0;     // The last look that saw the connection.
    bool ended = false;        // By the guard; gRPC has yet to notice.
    bool spared = false;       // It has been logged that the guard cannot end it.
  };

  // Calls that the server has ended, whose streams have yet to fail.
  struct Excuses {
    std::int64_t calls = 0;
    std::int64_t look = 0;  // The last one before they came, or that saw the connection.
  };

  void Run();
  // Takes up to `most` of its excuses.
  std::int64_t TakeExcuses(const std::string& peer, std::int64_t most);
  void ForgetExcuses();
  // One of the faults above, or null.
  const char* Fault(const Connection& connection, Clock::time_point now);
  void LookAtConnections();
  // Of these, until so many streams less are open; none if that cannot be reached.
  void EndTheLargest(std::vector<const Connection*> connections, std::int64_t too_many);
  // At most once for each connection. One that cannot be ended is only logged, once.
  void End(const Connection& connection, const char* fault);

  const std::int64_t server_id_;
  const Limits limits_;
  const std::function<void(const std::string& peer)> end_;
  const std::function<void()> tick_;
  LimitLog log_;
  LimitLog spared_;

  std::map<std::int64_t, Base> bases_;  // Used by the guard's thread only.
  std::atomic<std::int64_t> looks_{0};  // Changed by the guard's thread only.

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Excuses> excuses_;  // Guarded by mutex_. By peer.
  bool over_ = false;                       // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_CONNECTION_GUARD_H_
