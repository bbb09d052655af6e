#include "service/admin/admin_server.h"

#include <chrono>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/lifecycle/clock.h"

namespace admin {
namespace {

using lifecycle::Clock;
using lifecycle::Patience;

// How long open streams may take for their last messages, and the whole server for its end.
constexpr std::chrono::milliseconds kLastWords(200);
constexpr std::chrono::milliseconds kLimit(1000);

rpc::ServerHost::Options WithLiveness(rpc::ServerHost::Options options) {
  options.health_names.push_back("livez");
  return options;
}

absl::Status Annotated(const char* flag, const absl::Status& status) {
  return {status.code(), absl::StrCat(flag, ": ", std::string(status.message()))};
}

}  // namespace

AdminServer::AdminServer(lifecycle::Process& process, Options options)
    : process_(process),
      grpc_wanted_(!options.grpc.address.empty()),
      http_wanted_(!options.http.address.empty()),
      limits_(options.grpc.limits),
      host_(WithLiveness(std::move(options.grpc)),
            {std::make_shared<AdminService>(process, closing_.token())}, closing_),
      pages_(process),
      http_(std::move(options.http)) {}

absl::Status AdminServer::Start() {
  if (http_wanted_) {
    if (absl::Status started = StartHttp(); !started.ok()) {
      return Annotated("--admin_http_address", started);
    }
  }
  if (grpc_wanted_) {
    if (absl::Status started = StartGrpc(); !started.ok()) {
      return Annotated("--admin_address", started);
    }
  }
  return absl::OkStatus();
}

absl::Status AdminServer::StartHttp() {
  pages_.AddTo(http_);
  if (absl::Status started = http_.Start(limits_.RaiseMaxDescriptors()); !started.ok()) {
    return started;
  }
  process_.registry().Register("admin HTTP", [this](Clock::TimePoint) { return http_.Close(); },
                               {.used_by_all = true, .limit = kLimit});
  return absl::OkStatus();
}

absl::Status AdminServer::StartGrpc() {
  if (absl::Status started = host_.Start(); !started.ok()) return started;
  if (absl::Status opened = host_.Open(); !opened.ok()) return opened;
  process_.registry().Register("admin server", [this](Clock::TimePoint) { return CloseGrpc(); },
                               {.used_by_all = true, .limit = kLimit});
  return absl::OkStatus();
}

std::string AdminServer::http_url() const {
  return http_wanted_ ? absl::StrCat("http://", http_.address(), "/") : "";
}

absl::Status AdminServer::CloseGrpc() {
  Clock& clock = Clock::Steady();
  host_.CloseListener();
  closing_.Announce();
  host_.BeginShutdown();
  int cut = 0;
  if (host_.TryCallsRunning() > 0) {
    Patience last_words(clock, kLastWords, {});
    cut = host_.AwaitCallsFinished(last_words).calls;
  }
  // Until the registry passes it over: a handler that does not end uses the process.
  Patience for_ever(clock, std::chrono::hours(1), {});
  host_.Cancel(for_ever);
  if (cut == 0) return absl::OkStatus();
  return absl::DeadlineExceededError(absl::StrCat(cut, " operator calls were cut"));
}

}  // namespace admin
