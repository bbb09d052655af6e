#ifndef SERVICE_ORDERS_STORED_ORDER_H_
#define SERVICE_ORDERS_STORED_ORDER_H_

#include <cstdint>
#include <map>
#include <string>

#include "orders/v1/orders.pb.h"
#include "service/orders/order_store.h"

namespace orders {

// What every OrderStore needs to know of what it stores.

std::map<std::string, std::int64_t> QuantityBySku(const v1::Order& order);

// Whether two orders ask for the same: customer, and quantity of each SKU.
bool SameContent(const v1::Order& one, const v1::Order& other);

// Guards against damage, not against forgery.
std::int64_t Checksum(const SalesTotals& totals);

}  // namespace orders

#endif  // SERVICE_ORDERS_STORED_ORDER_H_
