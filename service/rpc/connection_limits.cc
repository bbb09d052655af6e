#include "service/rpc/connection_limits.h"

#include <climits>

#include "grpc/grpc.h"

namespace rpc {

void ConnectionLimits::ApplyTo(grpc::ServerBuilder& builder) const {
  const auto set = [&builder](const char* argument, std::chrono::milliseconds value) {
    // INT_MAX is gRPC's word for no limit.
    builder.AddChannelArgument(argument,
                               value.count() == 0 ? INT_MAX : static_cast<int>(value.count()));
  };
  set(GRPC_ARG_MAX_CONNECTION_AGE_MS, age);
  // Streams may be older than their connection should be: they are told when the
  // time has come, and not cut.
  builder.AddChannelArgument(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, INT_MAX);
  set(GRPC_ARG_MAX_CONNECTION_IDLE_MS, idle);
  set(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive);
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, keepalive_timeout);
  // Also between calls: that is when a dead peer is not noticed otherwise.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             static_cast<int>(least_ping_interval.count()));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, concurrent_calls);
  builder.SetMaxReceiveMessageSize(request_bytes);
  builder.SetMaxSendMessageSize(response_bytes);
}

}  // namespace rpc
