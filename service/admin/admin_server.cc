#include "service/admin/admin_server.h"

#include <chrono>
#include <utility>

#include "service/lifecycle/clock.h"

namespace admin {
namespace {

using lifecycle::Clock;
using lifecycle::Patience;

// How long open streams may take for their last messages, and the whole server for its end.
constexpr std::chrono::milliseconds kLastWords(200);
constexpr std::chrono::milliseconds kLimit(1000);

}  // namespace

AdminServer::AdminServer(lifecycle::Process& process, rpc::ServerHost::Options options)
    : process_(process),
      wanted_(!options.address.empty()),
      service_(process, closing_.token()),
      host_(std::move(options), {{v1::AdminService::service_full_name(), service_}}, closing_) {}

absl::Status AdminServer::Start() {
  if (!wanted_) return absl::OkStatus();
  if (absl::Status started = host_.Start(); !started.ok()) return started;
  if (absl::Status opened = host_.OpenListener(); !opened.ok()) return opened;
  process_.registry().Register("admin server", [this](Clock::TimePoint) { return Close(); },
                               {.used_by_all = true, .limit = kLimit});
  return absl::OkStatus();
}

absl::Status AdminServer::Close() {
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
