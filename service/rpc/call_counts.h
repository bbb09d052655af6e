#ifndef SERVICE_RPC_CALL_COUNTS_H_
#define SERVICE_RPC_CALL_COUNTS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "grpcpp/server_builder.h"

namespace rpc {

// How many calls a server has begun and ended, and whether a connection to it is
// open: gRPC's own counters (channelz), which cost a call nothing, because they
// are kept in any case.
//
// Threads: all methods may be called from any thread.
class CallCounts {
 public:
  // Builds a server and finds its counters. Null when the server cannot be built.
  //
  // channelz numbers servers in the order of their making and tells nothing else
  // about them, so no other server must be built in the process meanwhile by other
  // means than this.
  static std::unique_ptr<grpc::Server> BuildAndStart(grpc::ServerBuilder& builder,
                                                     CallCounts& counts);

  struct Calls {
    std::int64_t started = 0;
    std::int64_t running = 0;
  };
  // Of any kind: unary and streams, ours and gRPC's own. Zero without a server.
  Calls Now() const;

  bool AnyConnection() const;

 private:
  std::int64_t server_id_ = 0;
};

// The number that stands behind `"key":` in gRPC's JSON, quoted or not, from the
// first place on; 0 when there is none. channelz leaves zeros out.
std::int64_t NumberInJson(const std::string& json, const std::string& key);

}  // namespace rpc

#endif  // SERVICE_RPC_CALL_COUNTS_H_
