#ifndef SERVICE_RPC_TESTING_GRPC_VERSION_H_
#define SERVICE_RPC_TESTING_GRPC_VERSION_H_

#include "grpcpp/version_info.h"

namespace rpc {

// What tests see of the difference between the oldest gRPC that is supported, 1.51, and the newest,
// 1.83.
inline constexpr bool kNewGrpc = GRPC_CPP_VERSION_MAJOR > 1 || GRPC_CPP_VERSION_MINOR >= 83;

// A server gets both of two traceparents; of the newest one of them (W3CTraceParentMetadata in
// src/core/call/metadata_batch.h).
inline constexpr bool kGetsBothTraces = !kNewGrpc;

// gRPC logs the value of a header that it does not understand; the newest says so without it
// (src/core/ext/transport/chttp2/transport/hpack_parser.cc).
inline constexpr bool kLogsHeaders = !kNewGrpc;

// Handlers that block take all of gRPC's threads. The newest makes more of them, and only the
// connections stand still whose handlers block
// (src/core/lib/event_engine/thread_pool/work_stealing_thread_pool.cc).
inline constexpr bool kRunsOutOfThreads = !kNewGrpc;

// A call on a connection that is there is answered, however many new ones come. The newest refuses
// calls while these take all of its memory quota (src/core/ext/transport/chttp2/transport/parsing.cc).
inline constexpr bool kServesInAStorm = !kNewGrpc;

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_GRPC_VERSION_H_
