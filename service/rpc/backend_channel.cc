#include "service/rpc/backend_channel.h"

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/calls/trace.h"
#include "service/rpc/tls/tls.h"
#include "service/rpc/wall_clock.h"

namespace rpc {
namespace {

// https://github.com/grpc/proposal/blob/master/A6-client-retries.md
std::string ServiceConfig(const std::string& service, bool retry) {
  if (!retry) return "{}";
  return absl::StrCat(R"({"methodConfig": [{"name": [{"service": ")", service, R"("}],
    "retryPolicy": {"maxAttempts": 4, "initialBackoff": "0.05s", "maxBackoff": "0.5s",
                    "backoffMultiplier": 2, "retryableStatusCodes": ["UNAVAILABLE"]}}],
    "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.1}})");
}

// Has no effect on a call that has ended; gRPC remembers a cancellation from before the call.
struct Cancel {
  grpc::ClientContext& context;
  void operator()() const { context.TryCancel(); }
};

}  // namespace

// A std::stop_callback may be destroyed while it runs, even by what it calls: TryCancel() may end
// the call, and the caller then drops its context.
struct BackendChannel::Call {
  Call(std::shared_ptr<grpc::Channel> held, std::unique_ptr<grpc::ClientContext> made,
       const std::stop_source& closing, std::stop_token give_up)
      : channel(std::move(held)),
        context(std::move(made)),
        cancelled_in_close(closing.get_token(), Cancel{*context}),
        given_up(std::move(give_up), Cancel{*context}) {}

  const std::shared_ptr<grpc::Channel> channel;  // A call that has not begun holds it, too.
  const std::unique_ptr<grpc::ClientContext> context;
  const std::stop_callback<Cancel> cancelled_in_close;
  const std::stop_callback<Cancel> given_up;
};

BackendChannel::BackendChannel(Options options)
    : options_(std::move(options)), current_(Connect()) {}

BackendChannel::Connection BackendChannel::Connect() const {
  // gRPC would make a channel whose calls fail with what it thinks of the target.
  if (options_.target.empty()) return {};
  grpc::ChannelArguments arguments;
  arguments.SetServiceConfigJSON(ServiceConfig(options_.service, options_.retry));
  // A connection of its own, so that Close() really closes it.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A backend that restarts is found again soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  // This is not about backoff: it is how long an attempt to connect may take. When one fails, the
  // calls that wait for it fail, and a backend whose handshake always takes longer is never reached.
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 5000);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  // Under another address as well, which gRPC would look up again only after half a minute.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1000);
  if (!options_.tls_server_name.empty()) {
    arguments.SetSslTargetNameOverride(options_.tls_server_name);
  }
  Connection made;
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (options_.tls != nullptr) {
    made.generation = options_.tls->generation();
    credentials = ChannelTls(*options_.tls->Latest());
  }
  made.channel = ChannelSockets::MakeChannel(options_.target, arguments, credentials, made.sockets);
  return made;
}

void BackendChannel::Renew() const {
  if (options_.tls == nullptr || options_.target.empty()) return;
  for (Connection& each : replaced_) {
    if (each.channel.use_count() != 1) continue;
    each.sockets.Count();  // It can be told only as long as there is a channel.
    each.channel = nullptr;
  }
  if (options_.tls->generation() == current_.generation) return;
  // Now, and not at each call: reading gRPC's records costs more than a call has to spare.
  std::erase_if(replaced_, [](Connection& each) {
    return each.channel == nullptr && each.sockets.Count() == 0;
  });
  replaced_.push_back(std::exchange(current_, Connect()));
}

std::shared_ptr<grpc::Channel> BackendChannel::channel() const {
  std::lock_guard lock(mutex_);
  if (closed_) return nullptr;
  Renew();
  return current_.channel;
}

std::shared_ptr<grpc::ClientContext> BackendChannel::NewContext(
    const grpc::CallbackServerContext& caller) const {
  std::unique_ptr<grpc::ClientContext> context =
      grpc::ClientContext::FromCallbackServerContext(caller);
  PassTraceOn(caller, *context);
  return Track(std::move(context), options_.answer_now, caller.deadline());
}

std::shared_ptr<grpc::ClientContext> BackendChannel::NewContext(std::stop_token give_up) const {
  return Track(std::make_unique<grpc::ClientContext>(), std::move(give_up),
               std::chrono::system_clock::time_point::max());
}

std::shared_ptr<grpc::ClientContext> BackendChannel::Track(
    std::unique_ptr<grpc::ClientContext> context, std::stop_token give_up,
    std::chrono::system_clock::time_point deadline) const {
  // gRPC passes on what the caller has set, which the server may have shortened
  // (calls/call_deadlines.h).
  context->set_deadline(std::min(
      deadline, std::chrono::system_clock::now() + lifecycle::AtMostAYear(options_.timeout)));
  auto call = std::make_shared<Call>(channel(), std::move(context), closing_, std::move(give_up));
  grpc::ClientContext* const known = call->context.get();
  return {std::move(call), known};
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
  closing_.request_stop();
  lifecycle::Clock& clock = lifecycle::Clock::Steady();
  lifecycle::Patience patience(clock, deadline - clock.Now(), {});
  // gRPC notifies nobody when a reference is dropped or a socket closed.
  if (!patience.Poll([this] { return Unused(); })) {
    return absl::DeadlineExceededError(absl::StrCat(
        "a stub, or the context of a call, still holds the channel to ", options_.target));
  }
  int open = OpenSockets();  // It can be told only as long as there is a channel.
  current_.channel = nullptr;
  for (Connection& each : replaced_) each.channel = nullptr;
  if (!patience.Poll([&] { return (open = OpenSockets()) == 0; })) {
    return absl::DeadlineExceededError(absl::StrCat(open, " sockets to ", options_.target,
                                                    " are still open after the channel is gone"));
  }
  return absl::OkStatus();
}

bool BackendChannel::Unused() const {
  const auto unused = [](const Connection& each) { return each.channel.use_count() <= 1; };
  return unused(current_) && std::all_of(replaced_.begin(), replaced_.end(), unused);
}

int BackendChannel::OpenSockets() {
  int open = current_.sockets.Count();
  for (Connection& each : replaced_) open += each.sockets.Count();
  return open;
}

}  // namespace rpc
