#include "client/connection.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "client/error_details.h"
#include "client/service_config.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/support/channel_arguments.h"

namespace client {
namespace {

// The machine's clock. It sleeps on the channel, in short pieces: nothing else
// polls the channel's sockets between two calls, and gRPC would notice only every
// 5 seconds that the server is back.
class SteadyClock final : public Clock {
 public:
  explicit SteadyClock(std::shared_ptr<grpc::Channel> channel) : channel_(std::move(channel)) {}

  TimePoint Now() const override { return std::chrono::steady_clock::now(); }

  void Sleep(Duration duration, std::stop_token stop) override {
    const TimePoint end = Now() + duration;
    for (TimePoint now = Now(); now < end && !stop.stop_requested(); now = Now()) {
      const Duration piece = std::min<Duration>(end - now, std::chrono::milliseconds(100));
      channel_->WaitForStateChange(channel_->GetState(/*try_to_connect=*/true),
                                   std::chrono::system_clock::now() + piece);
    }
  }

 private:
  const std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace

absl::StatusOr<Connection> Connection::Create(const std::string& target, ClientOptions options) {
  if (target.empty()) return absl::InvalidArgumentError("the server's address is empty");
  if (options.timeout.count() <= 0) return absl::InvalidArgumentError("timeout must be positive");
  if (options.keepalive.count() <= 0) {
    return absl::InvalidArgumentError("keepalive must be positive");
  }
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
  auto channel = grpc::CreateCustomChannel(target, options.credentials, arguments);
  if (options.clock == nullptr) options.clock = std::make_shared<SteadyClock>(channel);
  return Connection(target, std::move(options), std::move(channel));
}

Connection::Connection(std::string target, ClientOptions options,
                       std::shared_ptr<grpc::Channel> channel)
    : target_(std::move(target)), options_(std::move(options)), channel_(std::move(channel)) {}

absl::Status Connection::Explain(const grpc::Status& status) const {
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED &&
      channel_->GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_READY) {
    return absl::UnavailableError(
        absl::StrCat("no server serves at ", target_, " (waited ",
                     absl::FormatDuration(absl::FromChrono(options_.timeout)), ")"));
  }
  return FromGrpc(status);
}

}  // namespace client
