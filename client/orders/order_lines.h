#ifndef CLIENT_ORDERS_ORDER_LINES_H_
#define CLIENT_ORDERS_ORDER_LINES_H_

#include <istream>
#include <vector>

#include "absl/status/statusor.h"
#include "orders/v1/orders.pb.h"

namespace client {

// One order of a file, and where it stands there, from 1.
struct OrderLine {
  int number = 0;
  orders::v1::PlaceOrderRequest order;
};

// Reads all of `in`: one PlaceOrderRequest as JSON on each line; blank lines are
// passed over.
//
//     {"customer": "ann", "items": [{"sku": "apple", "quantity": 2}]}
//
// INVALID_ARGUMENT: a line is malformed ("line 3: ..."), or `in` cannot be read.
absl::StatusOr<std::vector<OrderLine>> ReadOrderLines(std::istream& in);

}  // namespace client

#endif  // CLIENT_ORDERS_ORDER_LINES_H_
