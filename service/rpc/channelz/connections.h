#ifndef SERVICE_RPC_CHANNELZ_CONNECTIONS_H_
#define SERVICE_RPC_CHANNELZ_CONNECTIONS_H_

#include <cstdint>
#include <functional>
#include <memory>

#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"

namespace rpc {

// The connections to a server that are open, from gRPC's own records (channelz),
// which are kept in any case.
//
// Threads: all methods may be called from any thread.
class Connections {
 public:
  // Builds a server and finds its records. Null when the server cannot be built.
  //
  // channelz numbers servers in the order of their making and tells nothing else
  // about them, so no other server must be built in the process meanwhile by other
  // means than this.
  static std::unique_ptr<grpc::Server> BuildAndStart(grpc::ServerBuilder& builder,
                                                     Connections& connections);

  // What gRPC's records know the server by; 0 without one.
  std::int64_t server_id() const { return server_id_; }

  // Whether gRPC itself listens on any port for it.
  bool HasPorts() const;

  // False without a server.
  bool Any() const;

  // How many there are. Takes time with each: for people, and not for the way of a
  // call.
  int Count() const;

  // How many streams (RFC 9113) are open on them: calls, those of gRPC's own services, and
  // requests that are still arriving. Takes time with each connection.
  int OpenStreams() const;

 private:
  // Calls `look` with the id of each.
  void ForEach(const std::function<void(std::int64_t id)>& look) const;

  std::int64_t server_id_ = 0;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CHANNELZ_CONNECTIONS_H_
