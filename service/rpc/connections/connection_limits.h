#ifndef SERVICE_RPC_CONNECTIONS_CONNECTION_LIMITS_H_
#define SERVICE_RPC_CONNECTIONS_CONNECTION_LIMITS_H_

#include <chrono>
#include <cstdint>

#include "grpcpp/server_builder.h"

namespace rpc {

// Limits on what a server's connections and calls may cost it, with safe defaults. 0: no limit.
//
// ApplyTo() sets those that gRPC enforces itself; listener.h, connection_guard.h,
// service/rpc/handler_guard.h and calls/call_deadlines.h enforce the rest.
//
// Sources for their meanings: gRPC's include/grpc/impl/channel_arg_names.h, and
// https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md,
// A9-server-side-conn-mgt.md.
struct ConnectionLimits {
  // After this time a connection gets a GOAWAY (with 10 % jitter), which spreads callers over new
  // replicas; calls that still run after the grace are cut. With this or max_connection_idle, gRPC puts a filter
  // on each call (5 % of its instructions).
  std::chrono::milliseconds max_connection_age{0};
  std::chrono::milliseconds max_connection_age_grace{std::chrono::minutes(1)};
  // A connection that has had no call for this long is closed; its client makes another when it
  // needs one. Costs as much as the age, and keepalive already finds dead peers.
  std::chrono::milliseconds max_connection_idle{0};
  // A connection is closed when its peer has not completed the TLS handshake, HTTP/2 preface and
  // SETTINGS within this time.
  std::chrono::milliseconds handshake_timeout{std::chrono::seconds(10)};
  // A shutdown closes a connection that does not leave when it has carried no call for this long. A
  // client that polls its connection during its calls only, as those of the blocking API do, reads
  // nothing in between. If it may be older than some calls, it can lose the next one unless this is 6 s: a
  // little more than the interval at which it looks of its own accord (peer_silence.h).
  std::chrono::milliseconds silent_connection_timeout{std::chrono::seconds(1)};
  // A peer that has been silent for this long gets a keepalive ping; its connection is closed when
  // it does not answer within keepalive_timeout. A cut cable sends no FIN.
  std::chrono::milliseconds keepalive_time{std::chrono::minutes(1)};
  std::chrono::milliseconds keepalive_timeout{std::chrono::seconds(10)};
  // A client that pings more often than this is disconnected (ENHANCE_YOUR_CALM).
  std::chrono::milliseconds min_ping_interval_without_data{std::chrono::seconds(10)};
  // Concurrent calls on one connection; further calls wait in the client. One connection must not
  // get all the memory. A connection that ignores the limit is ended (connection_guard.h).
  int max_concurrent_streams = 1000;
  // Concurrent calls on all connections; further calls fail with RESOURCE_EXHAUSTED. Tens of
  // thousands slow each other down until all are too late.
  int max_calls_in_flight = 20000;
  // How long a unary call may run: one whose own deadline is later, and one that has none. Both are
  // off, because nobody but the service's author knows how long its calls take.
  std::chrono::milliseconds max_deadline{0};
  std::chrono::milliseconds default_deadline{0};
  // A connection is ended when this many of its calls, and more than half of them, fail within a
  // second: calls that are reset at once cost the server far more than their caller.
  int max_resets_per_second = 500;
  // Open connections; further ones are closed when they are accepted. Determined by the number of
  // descriptors that the process has open.
  int max_connections = 10000;
  // Descriptors that connections leave to the rest of the process: operators, databases, backends,
  // logs. At most a quarter of the process's limit.
  int reserved_descriptors = 64;
  // Memory that gRPC may use for what it reads and for its calls; above it, gRPC ends streams. An
  // announced message occupies memory until it is complete: one that is larger never arrives.
  std::int64_t memory_quota_bytes = 64 * 1024 * 1024;
  // Threads for handlers of the synchronous API, each of which takes one; further calls of them fail
  // with RESOURCE_EXHAUSTED.
  int max_sync_threads = 256;
  // Whether compressed requests are accepted. A megabyte can expand to a gigabyte before its size
  // is known.
  bool request_compression = false;
  // The largest message that is received, and sent; a larger one fails with RESOURCE_EXHAUSTED.
  int max_receive_message_size = 4 * 1024 * 1024;
  int max_send_message_size = 4 * 1024 * 1024;

  void ApplyTo(grpc::ServerBuilder& builder) const;

  // Raises the process's descriptor limit as far as allowed, and returns the number from which on
  // descriptors are not for connections (Listener::Start()).
  int RaiseMaxDescriptors() const;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_CONNECTION_LIMITS_H_
