#include "service/rpc/backend_channel.h"

#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "service/rpc/wall_clock.h"

namespace rpc {
namespace {

// https://github.com/grpc/proposal/blob/master/A6-client-retries.md
std::string ServiceConfig(const std::string& service) {
  return absl::StrCat(R"({"methodConfig": [{"name": [{"service": ")", service, R"("}],
    "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "0.5s",
                    "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}],
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1}})");
}

}  // namespace

BackendChannel::BackendChannel(Options options) : timeout_(options.timeout) {
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(ServiceConfig(options.service));
  // A connection of its own, which Close() can count on to go.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A backend that restarts is found again soon. The minimum is also the time that
  // one attempt to connect is given.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  channel_ =
      grpc::CreateCustomChannel(options.target, grpc::InsecureChannelCredentials(), arguments);
}

std::shared_ptr<grpc::Channel> BackendChannel::channel() const {
  std::lock_guard lock(mutex_);
  return closed_ ? nullptr : channel_;
}

std::unique_ptr<grpc::ClientContext> BackendChannel::NewContext(
    const grpc::CallbackServerContext& caller) const {
  std::unique_ptr<grpc::ClientContext> context =
      grpc::ClientContext::FromCallbackServerContext(caller);
  // The earlier one of this and the caller's own holds.
  context->set_deadline(std::chrono::system_clock::now() + timeout_);
  return context;
}

std::unique_ptr<grpc::ClientContext> BackendChannel::NewContext() const {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + timeout_);
  return context;
}

bool BackendChannel::AwaitConnected(lifecycle::Clock::TimePoint deadline) const {
  const std::shared_ptr<grpc::Channel> held = channel();
  return held != nullptr && held->WaitForConnected(OnTheWall(deadline));
}

absl::Status BackendChannel::Close(lifecycle::Clock::TimePoint deadline) {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  // gRPC tells nobody when a reference goes.
  while (channel_.use_count() > 1) {
    if (lifecycle::Clock::Steady().Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("the channel is still held, ", channel_.use_count() - 1, " times"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  channel_ = nullptr;
  return absl::OkStatus();
}

}  // namespace rpc
