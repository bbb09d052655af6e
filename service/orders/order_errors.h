#ifndef SERVICE_ORDERS_ORDER_ERRORS_H_
#define SERVICE_ORDERS_ORDER_ERRORS_H_

#include <string>

#include "absl/status/status.h"

namespace orders {

// The errors that orders.proto promises.

// Too much work is already waiting for the database.
absl::Status Overloaded();

// So many orders wait for the inventory's confirmation that more could not be confirmed in time.
absl::Status OutboxIsBehind();

// An older version has confirmed the order and kept no reservation, so it cannot be cancelled.
absl::Status OrderIsConfirmed(const std::string& order_id);

absl::Status UnknownOrder(const std::string& order_id);

// `field` is not a token that this service has issued for this database.
absl::Status BadToken(const std::string& field);

absl::Status RequestIdReused(const std::string& request_id);

// The order may or may not be stored: its placing ended without a word.
absl::Status OutcomeUnknown();

// The error for the caller when the store has failed with `status`.
absl::Status FromStore(const absl::Status& status);

}  // namespace orders

#endif  // SERVICE_ORDERS_ORDER_ERRORS_H_
