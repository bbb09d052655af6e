#include "service/rpc/channelz/connections.h"

#include <mutex>
#include <string>

#include "grpc/grpc.h"
#include "service/rpc/channelz/channelz_json.h"

namespace rpc {

std::unique_ptr<grpc::Server> Connections::BuildAndStart(grpc::ServerBuilder& builder,
                                                         Connections& connections) {
  static std::mutex& one_at_a_time = *new std::mutex;
  std::lock_guard lock(one_at_a_time);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return nullptr;
  const std::vector<std::int64_t> ids = IdsInPages(grpc_channelz_get_servers, "serverId");
  if (!ids.empty()) connections.server_id_ = ids.back();
  return server;
}

bool Connections::HasPorts() const {
  const std::string server = TakeJson(grpc_channelz_get_server(server_id_));
  // The list of what it listens on. Without any it is empty, or left out, as the version has it.
  return server.find("\"socketId\"") != std::string::npos;
}

bool Connections::Any() const {
  const std::string sockets = TakeJson(
      grpc_channelz_get_server_sockets(server_id_, /*start_socket_id=*/0, /*max_results=*/1));
  // Without one the list is empty, or left out, as the version has it.
  return sockets.find("\"socketId\"") != std::string::npos;
}

std::vector<std::int64_t> Connections::IdsOf(std::int64_t server_id) {
  return IdsInPages(
      [=](std::intptr_t first) {
        return grpc_channelz_get_server_sockets(server_id, first, /*max_results=*/0);
      },
      "socketId");
}

}  // namespace rpc
