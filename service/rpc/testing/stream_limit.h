#ifndef SERVICE_RPC_TESTING_STREAM_LIMIT_H_
#define SERVICE_RPC_TESTING_STREAM_LIMIT_H_

#include "grpcpp/server_builder.h"

namespace rpc {

// Lets peers that do not acknowledge the limit of concurrent streams open more than that, for
// tests of what is there against it.
//
// gRPC 1.51 (Debian 12, 13) cannot help it. Newer gRPC, 1.83 for one, refuses each stream above
// the limit with REFUSED_STREAM, acknowledged or not, unless it is told not to; the older takes
// no notice of that.
inline void LetPeersPassTheStreamLimit(grpc::ServerBuilder& builder) {
  builder.AddChannelArgument("grpc.http.overload_protection", 0);
}

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_STREAM_LIMIT_H_
