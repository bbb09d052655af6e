#include "service/orders/event_retention.h"

#include <chrono>
#include <utility>

#include "spdlog/spdlog.h"

namespace orders {
namespace {

constexpr std::chrono::seconds kInterval(10);

}  // namespace

EventRetention::EventRetention(OrderStore& store, std::int64_t kept, lifecycle::Clock& clock)
    : store_(store), kept_(kept), clock_(clock) {}

void EventRetention::Run(std::stop_token stop) {
  bool trims = true;
  while (!stop.stop_requested()) {
    const absl::Status status = TrimOnce(stop);
    if (!status.ok() && trims) {
      spdlog::warn("old events cannot be removed, and are kept until they can: {}",
                   status.ToString());
    }
    if (status.ok() && !trims) spdlog::info("old events are removed again");
    trims = status.ok();
    std::unique_lock lock(mutex_);
    clock_.WaitUntil(lock, never_, clock_.Now() + kInterval, stop, [] { return false; });
  }
}

absl::Status EventRetention::TrimOnce(std::stop_token stop) {
  const absl::StatusOr<std::int64_t> last = store_.LastSequence(OrderStore::DefaultDeadline());
  if (!last.ok()) return last.status();
  if (*last <= kept_) return absl::OkStatus();
  // A share of a long backlog: the rest is next, and its deadline came in between.
  const absl::Status trimmed =
      store_.Trim(*last - kept_ + 1, OrderStore::DefaultDeadline(), std::move(stop)).status();
  return absl::IsDeadlineExceeded(trimmed) ? absl::OkStatus() : trimmed;
}

}  // namespace orders
