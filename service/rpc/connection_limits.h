#ifndef SERVICE_RPC_CONNECTION_LIMITS_H_
#define SERVICE_RPC_CONNECTION_LIMITS_H_

#include <chrono>

#include "grpcpp/server_builder.h"

namespace rpc {

// What one connection may cost a server, from the day it starts on. Zero, where it
// is a time: no limit.
//
// Sources of the meanings: gRPC's include/grpc/impl/channel_arg_names.h, and
// https://github.com/grpc/proposal/blob/master/A8-client-side-keepalive.md,
// A9-server-side-conn-mgt.md.
struct ConnectionLimits {
  // A connection of this age is asked to make place for a new one (GOAWAY, with 10 %
  // jitter); calls that run on it run on. It spreads callers over new replicas, and
  // is what leads those away from a draining one who look at no health: so it must
  // fit the connections budget of the stop.
  std::chrono::milliseconds age{0};
  // A connection without a call for so long is given up; its caller makes another
  // when it needs one.
  std::chrono::milliseconds idle{std::chrono::minutes(5)};
  // A peer that is silent for so long is asked whether it still lives, and given up
  // when it does not answer for keepalive_timeout: a cable that is cut sends no
  // word.
  std::chrono::milliseconds keepalive{std::chrono::minutes(1)};
  std::chrono::milliseconds keepalive_timeout{std::chrono::seconds(10)};
  // A caller that asks that of us more often is sent away (ENHANCE_YOUR_CALM).
  std::chrono::milliseconds least_ping_interval{std::chrono::seconds(10)};
  // Calls at one time; more wait at the caller. One connection must not have all
  // the memory.
  int concurrent_calls = 1000;
  // The largest message that is read, and that is sent; a larger one fails with
  // RESOURCE_EXHAUSTED.
  int request_bytes = 4 * 1024 * 1024;
  int response_bytes = 4 * 1024 * 1024;

  void ApplyTo(grpc::ServerBuilder& builder) const;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTION_LIMITS_H_
