#ifndef SERVICE_ORDERS_TESTING_FAKE_ORDER_LOG_H_
#define SERVICE_ORDERS_TESTING_FAKE_ORDER_LOG_H_

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/orders/order_store.h"
#include "tests/common/eventually.h"

namespace orders {

// A log of numbered events and nothing else: event 7 places order "7" of 7 teas. Reads fail or are
// held when a test says so.
class FakeOrderLog final : public OrderStore {
 public:
  void Append(int count) {
    std::lock_guard lock(mutex_);
    last_ += count;
  }

  // What the next reads return; OK: events.
  void FailWith(absl::Status status) {
    std::lock_guard lock(mutex_);
    fault_ = std::move(status);
  }

  // Holds reads until Release().
  void Hold() {
    std::lock_guard lock(mutex_);
    held_ = true;
  }
  void Release() {
    std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  // Whether a read is being held.
  bool AwaitHeld() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, testkit::kLong, [this] { return standing_ > 0; });
  }

  int reads() const {
    std::lock_guard lock(mutex_);
    return reads_;
  }
  std::int64_t saved() const {
    std::lock_guard lock(mutex_);
    return saved_.sequence;
  }

  absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t after, int limit) override {
    std::unique_lock lock(mutex_);
    ++reads_;
    ++standing_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    --standing_;
    if (!fault_.ok()) return fault_;
    std::vector<OrderEvent> events;
    for (std::int64_t i = after + 1; i <= std::min(last_, after + limit); ++i) {
      OrderEvent& event = events.emplace_back();
      event.sequence = i;
      event.order.set_order_id(std::to_string(i));
      event.order.set_state(v1::ORDER_STATE_PLACED);
      v1::OrderItem& item = *event.order.add_items();
      item.set_sku("tea");
      item.set_quantity(i);
    }
    return events;
  }
  absl::StatusOr<std::int64_t> LastSequence() override {
    std::lock_guard lock(mutex_);
    return last_;
  }
  absl::StatusOr<SalesTotals> LoadTotals() override {
    std::lock_guard lock(mutex_);
    return saved_;
  }
  absl::Status SaveTotals(const SalesTotals& totals) override {
    std::lock_guard lock(mutex_);
    saved_ = totals;
    return absl::OkStatus();
  }

  absl::StatusOr<Placed> Place(const v1::Order&, const std::string&) override { return kNoOrders; }
  absl::StatusOr<std::optional<v1::Order>> FindByRequestId(const std::string&) override {
    return kNoOrders;
  }
  absl::StatusOr<std::optional<v1::Order>> Find(const std::string&) override { return kNoOrders; }
  absl::StatusOr<Page> List(std::int64_t, int) override { return kNoOrders; }
  absl::StatusOr<std::vector<OutboxItem>> Outbox(std::int64_t, int) override { return kNoOrders; }
  absl::Status Settle(const OutboxItem&, v1::OrderState) override { return kNoOrders; }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  const absl::Status kNoOrders = absl::UnimplementedError("this is a log only");

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::int64_t last_ = 0;  // Guarded by mutex_.
  absl::Status fault_;     // Guarded by mutex_.
  bool held_ = false;      // Guarded by mutex_.
  int standing_ = 0;       // Guarded by mutex_.
  int reads_ = 0;          // Guarded by mutex_.
  SalesTotals saved_;      // Guarded by mutex_.
};

}  // namespace orders

#endif  // SERVICE_ORDERS_TESTING_FAKE_ORDER_LOG_H_
