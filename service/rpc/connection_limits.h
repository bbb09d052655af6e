#ifndef SERVICE_RPC_CONNECTION_LIMITS_H_
#define SERVICE_RPC_CONNECTION_LIMITS_H_

#include <chrono>
#include <cstdint>

#include "grpcpp/server_builder.h"

namespace rpc {

// What a server's connections may cost it, from the day it starts on. Zero: no limit.
//
// What gRPC holds itself is set by ApplyTo(); the rest is held by listener.h and
// connection_guard.h.
//
// Sources of the meanings: gRPC's include/grpc/impl/channel_arg_names.h, and
// https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md,
// A9-server-side-conn-mgt.md.
struct ConnectionLimits {
  // A connection of this age is asked to make place for a new one (GOAWAY, with 10 %
  // jitter), which spreads callers over new replicas; what still runs on it after the
  // grace is cut. With this or the next, gRPC puts a filter on each call (5 % of its
  // instructions).
  std::chrono::milliseconds age{0};
  std::chrono::milliseconds age_grace{std::chrono::minutes(1)};
  // A connection without a call for so long is given up; its caller makes another
  // when it needs one.
  // Costs as much as the age, and what is dead is found by keepalive.
  std::chrono::milliseconds idle{0};
  // A peer that has not said what it is (TLS handshake, HTTP/2 preface and SETTINGS) for
  // so long after it has connected is given up.
  std::chrono::milliseconds handshake{std::chrono::seconds(10)};
  // A peer that is silent for so long is asked whether it still lives, and given up
  // when it does not answer for keepalive_timeout: a cable that is cut sends no
  // word.
  std::chrono::milliseconds keepalive{std::chrono::minutes(1)};
  std::chrono::milliseconds keepalive_timeout{std::chrono::seconds(10)};
  // A caller that asks that of us more often is sent away (ENHANCE_YOUR_CALM).
  std::chrono::milliseconds least_ping_interval{std::chrono::seconds(10)};
  // Calls of one connection at one time; more wait at the caller. One connection must not
  // have all the memory. A connection that takes no notice is ended (connection_guard.h).
  int concurrent_calls = 1000;
  // Calls of all connections at one time; more are refused with RESOURCE_EXHAUSTED. Tens
  // of thousands slow each other down until all are too late.
  int total_calls = 20000;
  // A connection is ended when so many of its calls, and more than half, fail within a
  // second: calls that are reset at once cost the server far more than their caller.
  int resets_per_second = 500;
  // Connections at one time; more are closed when they are accepted. Told by the number of
  // descriptors that the process has open.
  int connections = 10000;
  // Descriptors that connections leave to the rest of the process: to operators,
  // databases, backends, logs. At most a quarter of those that it may have.
  int reserved_descriptors = 64;
  // What gRPC may use for what it reads and for its calls, in bytes; above, it ends
  // streams. A message that is announced is kept until it is whole.
  std::int64_t memory_bytes = 64 * 1024 * 1024;
  // Whether compressed requests are read. A megabyte can become a gigabyte before its size
  // is known.
  bool compression = false;
  // The largest message that is read, and that is sent; a larger one fails with
  // RESOURCE_EXHAUSTED.
  int request_bytes = 4 * 1024 * 1024;
  int response_bytes = 4 * 1024 * 1024;

  void ApplyTo(grpc::ServerBuilder& builder) const;

  // Raises the process's limit of descriptors as far as it may, and returns the number
  // from which on a descriptor is not for connections (Listener::Start()).
  int RaiseMaxDescriptors() const;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTION_LIMITS_H_
