#ifndef SERVICE_ORDERS_STORED_ORDER_H_
#define SERVICE_ORDERS_STORED_ORDER_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/statusor.h"
#include "orders/v1/orders.pb.h"
#include "service/orders/order_store.h"

namespace orders {

// What every OrderStore needs to know of what it stores.

// Of an Order, or of a PlaceOrderRequest.
template <typename Asked>
std::map<std::string, std::int64_t> QuantityBySku(const Asked& order) {
  std::map<std::string, std::int64_t> quantities;
  for (const v1::OrderItem& item : order.items()) quantities[item.sku()] += item.quantity();
  return quantities;
}

// Whether two of these ask for the same: customer, and quantity of each SKU, in any order.
template <typename Asked>
bool SameContent(const Asked& one, const v1::Order& other) {
  return one.customer() == other.customer() && QuantityBySku(one) == QuantityBySku(other);
}

// What Place() answers to who wants an order: `stored` has its request_id, since now or before.
absl::StatusOr<OrderStore::Placed> AnswerTo(const v1::Order& wanted, OrderStore::Placed stored);

// Guards against damage, not against forgery.
std::int64_t Checksum(const SalesTotals& totals);

}  // namespace orders

#endif  // SERVICE_ORDERS_STORED_ORDER_H_
