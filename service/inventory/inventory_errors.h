#ifndef SERVICE_INVENTORY_INVENTORY_ERRORS_H_
#define SERVICE_INVENTORY_INVENTORY_ERRORS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

namespace inventory {

// The errors that inventory.proto promises, each with its ErrorInfo.

absl::Status UnknownSku(const std::string& sku);
absl::Status OutOfStock(const std::string& sku, std::int64_t available);
absl::Status ReservationIdReused(const std::string& reservation_id);
absl::Status UnknownReservation(const std::string& reservation_id);
absl::Status ReservationReleased(const std::string& reservation_id);
absl::Status ReservationConfirmed(const std::string& reservation_id);

// The error for a caller when the store has failed with `status`: the errors above unchanged; of
// any other, only whether to try again.
absl::Status FromStore(const absl::Status& status);

}  // namespace inventory

#endif  // SERVICE_INVENTORY_INVENTORY_ERRORS_H_
