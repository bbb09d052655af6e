#include "service/orders/sales.h"

#include <string>
#include <utility>

#include "spdlog/spdlog.h"

namespace orders {

absl::StatusOr<std::unique_ptr<Sales>> Sales::Load(OrderStore& store,
                                                   OrderStore::Deadline deadline) {
  absl::StatusOr<SalesTotals> totals = store.LoadTotals(deadline);
  if (absl::IsDataLoss(totals.status())) {
    spdlog::warn("{}; they are put aside and computed anew from all orders",
                 std::string(totals.status().message()));
    // As long as it takes: a start that gave up would try in vain for ever.
    totals = store.ComputeTotals(OrderStore::Deadline::max());
    if (totals.ok()) {
      const absl::Status saved = store.SaveTotals(*totals, OrderStore::DefaultDeadline());
      if (!saved.ok()) return saved;
    }
  }
  if (!totals.ok()) return totals.status();
  return std::unique_ptr<Sales>(new Sales(store, *std::move(totals)));
}

Sales::Sales(OrderStore& store, SalesTotals totals) : store_(store), totals_(std::move(totals)) {}

void Sales::Apply(const OrderEvent& event) {
  // An order counts from the moment it is placed; its confirmation changes nothing.
  int sign = 0;
  if (event.order.state() == v1::ORDER_STATE_PLACED) sign = 1;
  if (event.order.state() == v1::ORDER_STATE_CANCELLED) sign = -1;
  std::lock_guard lock(mutex_);
  if (event.sequence <= totals_.sequence) return;
  totals_.sequence = event.sequence;
  if (sign == 0) return;
  for (const v1::OrderItem& item : event.order.items()) {
    totals_.quantity_by_sku[item.sku()] += sign * item.quantity();
  }
}

SalesTotals Sales::totals() const {
  std::lock_guard lock(mutex_);
  return totals_;
}

absl::Status Sales::CatchUpWithSaved(OrderStore::Deadline deadline) {
  absl::StatusOr<SalesTotals> saved = store_.LoadTotals(deadline);
  if (!saved.ok()) return saved.status();
  std::lock_guard lock(mutex_);
  if (saved->sequence > totals_.sequence) totals_ = *std::move(saved);
  return absl::OkStatus();
}

absl::Status Sales::Save(OrderStore::Deadline deadline) {
  return store_.SaveTotals(totals(), deadline);
}

}  // namespace orders
