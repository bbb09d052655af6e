#ifndef SERVICE_ORDERS_ORDER_REQUEST_H_
#define SERVICE_ORDERS_ORDER_REQUEST_H_

#include "absl/status/status.h"
#include "orders/v1/orders.pb.h"

namespace orders {

// INVALID_ARGUMENT naming everything that is wrong with `request`, or OK.
absl::Status Validate(const v1::PlaceOrderRequest& request);

// Whether `request`, sent again with the request_id of `order`, is the same request; the order of
// its items does not matter.
bool SameContent(const v1::PlaceOrderRequest& request, const v1::Order& order);

}  // namespace orders

#endif  // SERVICE_ORDERS_ORDER_REQUEST_H_
