#include "service/rpc/connections.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <mutex>

#include "grpc/grpc.h"
#include "grpc/support/alloc.h"

namespace rpc {
namespace {

// Takes what gRPC allocated.
std::string Take(char* json) {
  std::string text = json == nullptr ? "" : json;
  gpr_free(json);
  return text;
}

// The largest id of a server in the process; 0: there is none. A page holds the
// servers from an id on, in order, a hundred at most.
std::int64_t LargestServerId() {
  std::int64_t largest = 0;
  for (;;) {
    const std::string page = Take(grpc_channelz_get_servers(largest + 1));
    std::int64_t in_page = 0;
    for (std::size_t at = page.find("\"serverId\""); at != std::string::npos;
         at = page.find("\"serverId\"", at + 1)) {
      in_page = std::max(in_page, NumberInJson(page.substr(at, 64), "serverId"));
    }
    if (in_page == 0) return largest;
    largest = in_page;
  }
}

}  // namespace

std::int64_t NumberInJson(const std::string& json, const std::string& key) {
  const std::string quoted = "\"" + key + "\":";
  std::size_t at = json.find(quoted);
  if (at == std::string::npos) return 0;
  at += quoted.size();
  while (at < json.size() && (json[at] == '"' || json[at] == ' ')) ++at;
  return std::atoll(json.c_str() + at);
}

std::unique_ptr<grpc::Server> Connections::BuildAndStart(grpc::ServerBuilder& builder,
                                                         Connections& connections) {
  static std::mutex& one_at_a_time = *new std::mutex;
  std::lock_guard lock(one_at_a_time);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server != nullptr) connections.server_id_ = LargestServerId();
  return server;
}

bool Connections::Any() const {
  const std::string sockets =
      Take(grpc_channelz_get_server_sockets(server_id_, /*start_socket_id=*/0, /*max_results=*/1));
  // Without one the list is empty, or left out, as the version has it.
  return sockets.find("\"socketId\"") != std::string::npos;
}

int Connections::Count() const {
  int count = 0;
  for (std::int64_t last = 0;;) {
    // A page holds the sockets from an id on, in order, some hundreds at most.
    const std::string page =
        Take(grpc_channelz_get_server_sockets(server_id_, last + 1, /*max_results=*/0));
    const std::int64_t before = last;
    for (std::size_t at = page.find("\"socketId\""); at != std::string::npos;
         at = page.find("\"socketId\"", at + 1)) {
      last = std::max(last, NumberInJson(page.substr(at, 64), "socketId"));
      ++count;
    }
    if (last == before) return count;
  }
}

std::int64_t Connections::CallsBegun() const {
  if (server_id_ == 0) return 0;
  return NumberInJson(Take(grpc_channelz_get_server(server_id_)), "callsStarted");
}

}  // namespace rpc
