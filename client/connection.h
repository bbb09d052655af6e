#ifndef CLIENT_CONNECTION_H_
#define CLIENT_CONNECTION_H_

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/clock.h"
#include "client/renewed_channel.h"
#include "client/retry.h"
#include "client/tls.h"
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
  // TLS with certificates from files, which may be renewed at any time. Null: see `credentials`.
  std::shared_ptr<TlsFiles> tls = nullptr;
  // Credentials that stay the same, without `tls`. Null: plain text.
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
// client/service_config.json, quick reconnects, a deadline. A call is sent with the newest
// certificates, however long it has waited for a server; its retries keep them.
//
// Threads: all methods may be called from any thread.
class Connection {
 public:
  // What unary calls do while there is no server. The service config tells gRPC the same
  // (waitForReady).
  enum class WithoutServer { kFail, kWait };

  // `target` is a gRPC target: "localhost:50051", "dns:///orders:50051", or several servers:
  // "ipv4:127.0.0.1:50051,127.0.0.1:50061". Connects when the first call needs it; a server that is
  // not up yet is not an error.
  //
  // INVALID_ARGUMENT: `target` is empty, a duration is not positive, or there are both kinds of
  // credentials.
  static absl::StatusOr<Connection> Create(const std::string& target, ClientOptions options,
                                           WithoutServer unary_calls = WithoutServer::kFail);

  // For creating a stub, which is cheap and made for each call: who keeps one keeps its
  // certificates.
  std::shared_ptr<grpc::Channel> channel() const { return channel_->Latest(); }
  const RetryOptions& retry() const { return options_.retry; }
  Clock& clock() const { return *options_.clock; }

  // Makes one unary call: Call<OrdersService>(&OrdersService::StubInterface::GetOrder, request).
  //
  // See Explain() for the error when no server could be reached. A stop cancels the call: CANCELLED.
  template <class Service, class Request, class Response>
  absl::StatusOr<Response> Call(grpc::Status (Service::StubInterface::*method)(grpc::ClientContext*,
                                                                               const Request&,
                                                                               Response*),
                                const Request& request, std::stop_token stop = {}) const {
    const auto deadline = std::chrono::system_clock::now() + options_.timeout;
    const std::shared_ptr<grpc::Channel> used = ChannelForCall(deadline, stop);
    const auto stub = Service::NewStub(used);
    grpc::ClientContext context;
    context.set_deadline(deadline);
    const std::stop_callback cancel(std::move(stop), [&context] { context.TryCancel(); });
    Response response;
    const absl::Status status =
        Explain(((*stub).*method)(&context, request, &response), used, options_.timeout);
    if (!status.ok()) return status;
    return response;
  }

  // The error of a call on `used` that had `timeout` to end. When no server could be reached, it is
  // UNAVAILABLE with a message that names the target and why it could not be reached, as far as gRPC
  // knows that by then, instead of DEADLINE_EXCEEDED.
  absl::Status Explain(const grpc::Status& status, const std::shared_ptr<grpc::Channel>& used,
                       std::chrono::milliseconds timeout) const;

 private:
  Connection(std::string target, ClientOptions options, WithoutServer unary_calls,
             std::shared_ptr<RenewedChannel> channel);

  // Waits for a server if the call would, since gRPC would do so with the certificates of now.
  std::shared_ptr<grpc::Channel> ChannelForCall(std::chrono::system_clock::time_point deadline,
                                                const std::stop_token& stop) const;

  std::string target_;
  ClientOptions options_;
  WithoutServer unary_calls_;
  std::shared_ptr<RenewedChannel> channel_;
};

}  // namespace client

#endif  // CLIENT_CONNECTION_H_
