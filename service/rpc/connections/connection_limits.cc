#include "service/rpc/connections/connection_limits.h"

#include <sys/resource.h>

#include <algorithm>
#include <climits>
#include <cstddef>
#include <utility>

#include "grpc/grpc.h"
#include "grpcpp/resource_quota.h"
#include "service/rpc/connections/open_descriptors.h"

namespace rpc {

void ConnectionLimits::ApplyTo(grpc::ServerBuilder& builder) const {
  // INT_MAX is gRPC's word for no limit, also of sizes and threads, where 0 would allow nothing.
  const auto limit = [](std::int64_t value) {
    return value == 0 ? INT_MAX : static_cast<int>(std::min<std::int64_t>(value, INT_MAX));
  };
  const auto set = [&](const char* argument, std::chrono::milliseconds value) {
    builder.AddChannelArgument(argument, limit(value.count()));
  };
  set(GRPC_ARG_MAX_CONNECTION_AGE_MS, max_connection_age);
  set(GRPC_ARG_MAX_CONNECTION_AGE_GRACE_MS, max_connection_age_grace);
  set(GRPC_ARG_MAX_CONNECTION_IDLE_MS, max_connection_idle);
  set(GRPC_ARG_SERVER_HANDSHAKE_TIMEOUT_MS, handshake_timeout);
  set(GRPC_ARG_KEEPALIVE_TIME_MS, keepalive_time);
  set(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, keepalive_timeout);
  // Newer gRPC, 1.83 for one, waits a minute for the answer to a PING unless this says less.
  set("grpc.http2.ping_timeout_ms", keepalive_timeout);
  // Also between calls: that is when a dead peer is not noticed otherwise.
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             static_cast<int>(min_ping_interval_without_data.count()));
  builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, limit(max_concurrent_streams));
  grpc::ResourceQuota quota;
  quota.SetMaxThreads(limit(max_sync_threads));
  if (memory_quota_bytes > 0) quota.Resize(static_cast<std::size_t>(memory_quota_bytes));
  builder.SetResourceQuota(quota);
  for (const grpc_compression_algorithm each : {GRPC_COMPRESS_DEFLATE, GRPC_COMPRESS_GZIP}) {
    builder.SetCompressionAlgorithmSupportStatus(each, request_compression);
  }
  builder.SetMaxReceiveMessageSize(limit(max_receive_message_size));
  builder.SetMaxSendMessageSize(limit(max_send_message_size));
}

int ConnectionLimits::RaiseMaxDescriptors() const {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return INT_MAX;
  if (limit.rlim_cur < limit.rlim_max) {
    const rlim_t before = std::exchange(limit.rlim_cur, limit.rlim_max);
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0) limit.rlim_cur = before;
  }
  const int most = static_cast<int>(std::min<rlim_t>(limit.rlim_cur, INT_MAX));
  const int free = most - std::min(reserved_descriptors, most / 4);
  if (max_connections == 0) return free;
  // Those that are open already are not connections.
  const auto open = static_cast<std::int64_t>(OpenDescriptors().size());
  return static_cast<int>(std::min<std::int64_t>(free, max_connections + open));
}

}  // namespace rpc
