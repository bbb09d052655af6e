#include "client/connection.h"

#include <algorithm>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "client/error_details.h"
#include "client/service_config.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/channel_arguments.h"
#include "grpcpp/support/slice.h"

namespace client {
namespace {

// The machine's clock. It sleeps on the channel, in short pieces: nothing else
// polls the channel's sockets between two calls, and gRPC would notice only every
// 5 seconds that the server is back.
class SteadyClock final : public Clock {
 public:
  explicit SteadyClock(std::shared_ptr<RenewedChannel> channel) : channel_(std::move(channel)) {}

  TimePoint Now() const override { return std::chrono::steady_clock::now(); }

  void Sleep(Duration duration, std::stop_token stop) override {
    const TimePoint end = Now() + duration;
    for (TimePoint now = Now(); now < end && !stop.stop_requested(); now = Now()) {
      const Duration piece = std::min<Duration>(end - now, std::chrono::milliseconds(100));
      const std::shared_ptr<grpc::Channel> channel = channel_->Latest();
      channel->WaitForStateChange(channel->GetState(/*try_to_connect=*/true),
                                  std::chrono::system_clock::now() + piece);
    }
  }

 private:
  const std::shared_ptr<RenewedChannel> channel_;
};

// ": Ssl handshake failed: ..."; empty: not known. Only a call that does not wait is told, so one
// that does no harm is made.
std::string WhyNotConnected(const std::shared_ptr<grpc::Channel>& channel) {
  grpc::ClientContext context;
  context.set_wait_for_ready(false);
  // For an attempt to connect that is about to fail.
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(100));
  const grpc::Slice nothing;
  const grpc::ByteBuffer request(&nothing, 1);
  grpc::ByteBuffer response;
  const auto ended = std::make_shared<std::promise<grpc::Status>>();
  grpc::GenericStub(channel).UnaryCall(
      &context, "/grpc.health.v1.Health/Check", {}, &request, &response,
      [ended](grpc::Status status) { ended->set_value(std::move(status)); });
  const grpc::Status status = ended->get_future().get();
  if (status.error_code() != grpc::StatusCode::UNAVAILABLE) return "";
  return ": " + status.error_message();
}

}  // namespace

absl::StatusOr<Connection> Connection::Create(const std::string& target, ClientOptions options,
                                              WithoutServer unary_calls) {
  if (target.empty()) return absl::InvalidArgumentError("the server's address is empty");
  if (options.timeout.count() <= 0) return absl::InvalidArgumentError("timeout must be positive");
  if (options.keepalive.count() <= 0) {
    return absl::InvalidArgumentError("keepalive must be positive");
  }
  if (options.tls != nullptr && options.credentials != nullptr) {
    return absl::InvalidArgumentError("there are both TLS files and other credentials");
  }
  options.timeout = AtMostAYear(options.timeout);
  if (options.credentials == nullptr) options.credentials = grpc::InsecureChannelCredentials();

  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(ServiceConfig());
  // A server that restarts is found within about a second. The minimum is no wait:
  // it is what one attempt to connect may take.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 3000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, static_cast<int>(options.keepalive.count()));
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 10000);
  if (!options.server_name.empty()) arguments.SetSslTargetNameOverride(options.server_name);
  auto channel = std::make_shared<RenewedChannel>(
      [tls = options.tls, fixed = options.credentials] {
        return tls != nullptr ? tls->Latest() : fixed;
      },
      [target, arguments](const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
        return grpc::CreateCustomChannel(target, credentials, arguments);
      });
  if (options.clock == nullptr) options.clock = std::make_shared<SteadyClock>(channel);
  return Connection(target, std::move(options), unary_calls, std::move(channel));
}

Connection::Connection(std::string target, ClientOptions options, WithoutServer unary_calls,
                       std::shared_ptr<RenewedChannel> channel)
    : target_(std::move(target)),
      options_(std::move(options)),
      unary_calls_(unary_calls),
      channel_(std::move(channel)) {}

std::shared_ptr<grpc::Channel> Connection::ChannelForCall(
    std::chrono::system_clock::time_point deadline, const std::stop_token& stop) const {
  std::shared_ptr<grpc::Channel> latest = channel();
  if (options_.tls == nullptr || unary_calls_ == WithoutServer::kFail) return latest;
  for (auto now = std::chrono::system_clock::now(); now < deadline && !stop.stop_requested();
       now = std::chrono::system_clock::now()) {
    if (latest->WaitForConnected(std::min(deadline, now + TlsFiles::kInterval))) break;
    latest = channel();
  }
  return latest;
}

absl::Status Connection::Explain(const grpc::Status& status,
                                 const std::shared_ptr<grpc::Channel>& used,
                                 std::chrono::milliseconds timeout) const {
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
      used->GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_READY) {
    return absl::UnavailableError(absl::StrCat("no server serves at ", target_, " (waited ",
                                               absl::FormatDuration(absl::FromChrono(timeout)), ")",
                                               WhyNotConnected(used)));
  }
  return FromGrpc(status);
}

}  // namespace client
