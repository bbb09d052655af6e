#ifndef SERVICE_ORDERS_ORDER_REQUEST_H_
#define SERVICE_ORDERS_ORDER_REQUEST_H_

#include "absl/status/status.h"
#include "orders/v1/orders.pb.h"

namespace orders {

// INVALID_ARGUMENT naming everything that is wrong with `request`, or OK.
absl::Status Validate(const v1::PlaceOrderRequest& request);

}  // namespace orders

#endif  // SERVICE_ORDERS_ORDER_REQUEST_H_
