#include "service/orders/sales.h"

#include <utility>

namespace orders {

absl::StatusOr<std::unique_ptr<Sales>> Sales::Load(OrderStore& store) {
  absl::StatusOr<SalesTotals> totals = store.LoadTotals();
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

absl::Status Sales::Save() { return store_.SaveTotals(totals()); }

}  // namespace orders
