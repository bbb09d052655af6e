#ifndef SERVICE_ORDERS_TESTING_FAKE_ORDER_LOG_H_
#define SERVICE_ORDERS_TESTING_FAKE_ORDER_LOG_H_

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/orders/order_store.h"
#include "tests/common/eventually.h"

namespace orders {

// A log of numbered events and nothing else: event 7 places order "7" of 7 teas. Reads fail or are
// held when a test says so.
class FakeOrderLog : public OrderStore {
 public:
  void Append(int count) {
    std::lock_guard lock(mutex_);
    last_ += count;
    changed_.notify_all();
  }

  // What the next reads return; OK: events.
  void FailWith(absl::Status status) {
    std::lock_guard lock(mutex_);
    fault_ = std::move(status);
    changed_.notify_all();
  }

  // Removes the events up to `sequence`; the totals, which include them, are saved.
  void Remove(std::int64_t sequence) {
    std::lock_guard lock(mutex_);
    removed_ = sequence;
    saved_ = {.sequence = sequence, .quantity_by_sku = {{"tea", sequence * (sequence + 1) / 2}}};
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
  int finds() const {
    std::lock_guard lock(mutex_);
    return finds_;
  }
  std::int64_t saved() const {
    std::lock_guard lock(mutex_);
    return saved_.sequence;
  }

  absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t after, int limit,
                                                      Deadline) override {
    std::unique_lock lock(mutex_);
    ++reads_;
    AwaitRelease(lock);
    return Read(after, limit);
  }
  absl::StatusOr<std::vector<OrderEvent>> AwaitEventsAfter(std::int64_t after, int limit,
                                                           Deadline deadline,
                                                           std::stop_token stop) override {
    std::unique_lock lock(mutex_);
    ++reads_;
    changed_.wait_until(lock, stop, deadline,
                        [&] { return !held_ && (!fault_.ok() || last_ > after); });
    return Read(after, limit);
  }
  absl::StatusOr<std::int64_t> LastSequence(Deadline) override {
    std::lock_guard lock(mutex_);
    return last_;
  }
  absl::StatusOr<SalesTotals> LoadTotals(Deadline) override {
    std::lock_guard lock(mutex_);
    return saved_;
  }
  absl::Status SaveTotals(const SalesTotals& totals, Deadline) override {
    std::lock_guard lock(mutex_);
    saved_ = totals;
    return absl::OkStatus();
  }
  std::int64_t Commits() const override { return 0; }
  const std::string& DatabaseId() const override { return database_id_; }

  absl::StatusOr<Placed> Place(NewOrder, Deadline) override { return kNoOrders; }
  absl::StatusOr<std::optional<v1::Order>> FindByRequestId(const std::string&, Deadline) override {
    return kNoOrders;
  }
  // There are no orders.
  absl::StatusOr<std::optional<v1::Order>> Find(const std::string&, Deadline) override {
    std::unique_lock lock(mutex_);
    ++finds_;
    AwaitRelease(lock);
    return std::optional<v1::Order>();
  }
  absl::StatusOr<Page> List(std::int64_t, int, Deadline) override { return kNoOrders; }
  absl::StatusOr<v1::Order> Cancel(const std::string&, Deadline) override { return kNoOrders; }
  absl::StatusOr<std::int64_t> Trim(std::int64_t, Deadline, std::stop_token) override {
    return kNoOrders;
  }
  absl::StatusOr<std::vector<OutboxItem>> Claim(int, std::chrono::milliseconds, Deadline) override {
    return kNoOrders;
  }
  absl::StatusOr<Settled> Settle(const std::vector<Settlement>&, Deadline) override {
    return kNoOrders;
  }
  absl::Status Postpone(const std::vector<OutboxItem>&, std::chrono::milliseconds,
                        Deadline) override {
    return kNoOrders;
  }
  absl::Status GiveBack(const std::vector<OutboxItem>&, Deadline) override { return kNoOrders; }
  absl::StatusOr<Backlog> OutboxBacklog(Deadline) override { return kNoOrders; }
  absl::StatusOr<SalesTotals> ComputeTotals(Deadline) override { return kNoOrders; }
  absl::Status Close(Deadline) override { return absl::OkStatus(); }

 private:
  void AwaitRelease(std::unique_lock<std::mutex>& lock) {
    ++standing_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    --standing_;
  }

  // Requires: mutex_ is held.
  absl::StatusOr<std::vector<OrderEvent>> Read(std::int64_t after, int limit) const {
    if (!fault_.ok()) return fault_;
    if (after < removed_) return absl::OutOfRangeError("removed");
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

  const std::string database_id_ = "fake";
  const absl::Status kNoOrders = absl::UnimplementedError("this is a log only");

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::int64_t last_ = 0;     // Guarded by mutex_.
  std::int64_t removed_ = 0;  // Guarded by mutex_.
  absl::Status fault_;        // Guarded by mutex_.
  bool held_ = false;         // Guarded by mutex_.
  int standing_ = 0;          // Guarded by mutex_.
  int reads_ = 0;             // Guarded by mutex_.
  int finds_ = 0;             // Guarded by mutex_.
  SalesTotals saved_;         // Guarded by mutex_.
};

}  // namespace orders

#endif  // SERVICE_ORDERS_TESTING_FAKE_ORDER_LOG_H_
