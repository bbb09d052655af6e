#ifndef CLIENT_CONNECTION_H_
#define CLIENT_CONNECTION_H_

#include <chrono>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/clock.h"
#include "client/retry.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/security/credentials.h"

namespace client {

struct ClientOptions {
  // The deadline of a unary call, including all its retries and the wait for a server. Streams have
  // no deadline.
  std::chrono::milliseconds timeout{10000};
  // How broken streams are opened again.
  RetryOptions retry = {};
  // Null: plain text.
  std::shared_ptr<grpc::ChannelCredentials> credentials = nullptr;
  // The name that the servers' certificate must contain; empty: the target's host.
  std::string server_name = "";
  // A server that has been silent for this long during a call gets a keepalive ping. Not less than
  // the server's --min_ping_interval_without_data; a gRPC server without such a setting wants 5
  // minutes.
  std::chrono::milliseconds keepalive{30000};
  // Null: the machine's.
  std::shared_ptr<Clock> clock = nullptr;
};

// The channel to one service, with what every call on it needs: the service config of
// client/service_config.json, quick reconnects, a deadline.
//
// Threads: all methods may be called from any thread.
class Connection {
 public:
  // `target` is a gRPC target: "localhost:50051", "dns:///orders:50051", or several servers:
  // "ipv4:127.0.0.1:50051,127.0.0.1:50061". Connects when the first call needs it; a server that is
  // not up yet is not an error.
  //
  // INVALID_ARGUMENT: `target` is empty, or a duration is not positive.
  static absl::StatusOr<Connection> Create(const std::string& target, ClientOptions options);

  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  const RetryOptions& retry() const { return options_.retry; }
  Clock& clock() const { return *options_.clock; }

  // Makes one unary call; `method` is, for example, &OrdersService::StubInterface::GetOrder.
  //
  // When no server could be reached, the error is UNAVAILABLE with a message that names the target,
  // instead of DEADLINE_EXCEEDED.
  template <class Stub, class Request, class Response>
  absl::StatusOr<Response> Call(Stub& stub,
                                grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&,
                                                             Response*),
                                const Request& request) const {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + options_.timeout);
    Response response;
    const absl::Status status = Explain((stub.*method)(&context, request, &response));
    if (!status.ok()) return status;
    return response;
  }

 private:
  Connection(std::string target, ClientOptions options, std::shared_ptr<grpc::Channel> channel);

  absl::Status Explain(const grpc::Status& status) const;

  std::string target_;
  ClientOptions options_;
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace client

#endif  // CLIENT_CONNECTION_H_
