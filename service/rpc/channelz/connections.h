#ifndef SERVICE_RPC_CHANNELZ_CONNECTIONS_H_
#define SERVICE_RPC_CHANNELZ_CONNECTIONS_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

namespace rpc {

// The open connections of a server, from gRPC's own records (channelz), which are always kept.
//
// Threads: all methods may be called from any thread.
class Connections {
 public:
  // Builds a server and finds its records. Null when the server cannot be built.
  //
  // channelz numbers servers in the order of their creation and says nothing else about them, so
  // nothing else in the process may build a server meanwhile, except through this function.
  static std::unique_ptr<grpc::Server> BuildAndStart(grpc::ServerBuilder& builder,
                                                     Connections& connections);

  // The server's id in gRPC's records; 0 without one.
  std::int64_t server_id() const { return server_id_; }

  // Whether gRPC itself listens on any port for it.
  bool HasPorts() const;

  // False without a server.
  bool Any() const;

  // How many there are. Takes time for each: for people, not for the path of a call.
  int Count() const { return static_cast<int>(IdsOf(server_id_).size()); }

  // The ids of a server's connections in gRPC's records.
  static std::vector<std::int64_t> IdsOf(std::int64_t server_id);

 private:
  std::int64_t server_id_ = 0;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CHANNELZ_CONNECTIONS_H_
