#include "service/orders/outbox_relay.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "service/orders/store_deadline.h"
#include "spdlog/spdlog.h"

namespace orders {
namespace {

constexpr std::chrono::seconds kLease(30);
constexpr std::chrono::milliseconds kRetry(50);
// How often the outbox is looked at for what another replica has left behind.
constexpr std::chrono::milliseconds kInterval(500);
constexpr std::chrono::milliseconds kFirstBackoff(50);
constexpr std::chrono::milliseconds kLongestBackoff(2000);

// Whether the next item would meet the same trouble: it lies with the inventory or
// the store, and not with the one item.
bool ConcernsAll(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

}  // namespace

OutboxRelay::OutboxRelay(OrderStore& store, InventoryClient& inventory,
                         std::function<void()> on_settled)
    : store_(store), inventory_(inventory), on_settled_(std::move(on_settled)) {}

void OutboxRelay::Run(std::stop_token stop) {
  std::chrono::milliseconds backoff = kFirstBackoff;
  while (!stop.stop_requested()) {
    if (Work(stop)) {
      backoff = kFirstBackoff;
      Rest(stop, kInterval);
    } else {
      // Not woken by new items: they would meet the same trouble.
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, stop, backoff, [] { return false; });
      backoff = std::min(backoff * 2, kLongestBackoff);
    }
  }
}

void OutboxRelay::Wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

bool OutboxRelay::Work(const std::stop_token& stop) {
  for (;;) {
    const absl::StatusOr<std::vector<OutboxItem>> items =
        store_.Claim(/*limit=*/1, kLease, StoreDeadline());
    if (!items.ok()) {
      spdlog::warn("the outbox cannot be read, will try again: {}", items.status().ToString());
      return false;
    }
    if (items->empty() || stop.stop_requested()) return true;
    for (const OutboxItem& item : *items) {
      const absl::Status settled = Settle(item, stop);
      if (settled.ok()) {
        on_settled_();
        continue;
      }
      spdlog::warn("order {} is not settled, will try again: {}", item.order_id,
                   settled.ToString());
      static_cast<void>(store_.Postpone({item}, kRetry, StoreDeadline()));
      if (ConcernsAll(settled)) return false;
    }
  }
}

absl::Status OutboxRelay::Settle(const OutboxItem& item, const std::stop_token& stop) {
  const absl::Status confirmed = inventory_.Confirm(item.reservation_id, stop);
  if (confirmed.ok()) {
    return store_.Settle({{item, v1::ORDER_STATE_CONFIRMED}}, StoreDeadline());
  }
  if (!absl::IsFailedPrecondition(confirmed) && !absl::IsNotFound(confirmed)) return confirmed;
  spdlog::warn("order {} is cancelled: {}", item.order_id, confirmed.ToString());
  return store_.Settle({{item, v1::ORDER_STATE_CANCELLED}}, StoreDeadline());
}

void OutboxRelay::Rest(const std::stop_token& stop, std::chrono::milliseconds limit) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, stop, limit, [this] { return woken_; });
  woken_ = false;
}

}  // namespace orders
