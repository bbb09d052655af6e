#ifndef SERVICE_INVENTORY_STOCK_STORE_H_
#define SERVICE_INVENTORY_STOCK_STORE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inventory/v1/inventory.pb.h"
#include "service/sqlite/connections.h"

namespace inventory {

// The stock and its reservations, in one SQLite file.
//
// Guarantees: for every SKU, at any moment, initial = available + reserved + confirmed. What a
// method has returned OK for survives kill -9 and power loss. Several processes may use the same
// file at once.
//
// Errors of every method: those that inventory.proto promises (inventory_errors.h), named at the
// method; and, without an ErrorInfo, those of sqlite::Writer::Run(). Every method returns by its
// deadline, or a moment later.
//
// Threads: all methods may be called from any thread and may block on a disk, so never call them on
// a gRPC thread.
// Lifetime: Close() may be called while other methods run, and other methods after Close(); the
// destructor may not.
class StockStore {
 public:
  // In characters; what inventory.proto allows.
  static constexpr std::size_t kLongestSku = 64;
  // A quantity for each SKU.
  using Quantities = std::map<std::string, std::int64_t>;
  // The current time; reservations outlive the process, so this is the wall clock.
  using TimePoint = std::chrono::system_clock::time_point;
  using Now = std::function<TimePoint()>;
  using Deadline = std::chrono::steady_clock::time_point;

  // Errors: those of sqlite::Database::Open(), each a sentence for whoever starts the server.
  static absl::StatusOr<std::unique_ptr<StockStore>> Open(const std::string& path,
                                                          Now now = std::chrono::system_clock::now);

  // Adds SKUs that do not exist yet; the others are left unchanged.
  absl::Status Seed(const Quantities& initial, Deadline deadline);

  // Reserves `items`, all or none, and returns when the reservation expires; unset: never, it is
  // confirmed. If the id was used for the same items before, that reservation is renewed; if it has
  // expired, it is made again. UNKNOWN_SKU, OUT_OF_STOCK, RESERVATION_ID_REUSED,
  // RESERVATION_RELEASED.
  absl::StatusOr<std::optional<TimePoint>> Reserve(const std::string& reservation_id,
                                                   const Quantities& items,
                                                   std::chrono::milliseconds ttl,
                                                   Deadline deadline);

  // Sells what is reserved, or reserves it again if the reservation has expired; if its stock is
  // gone by then, the reservation is released. UNKNOWN_RESERVATION, RESERVATION_RELEASED,
  // OUT_OF_STOCK.
  absl::Status Confirm(const std::string& reservation_id, Deadline deadline);

  // Gives back what is reserved, and what is sold if `even_confirmed`. An id that is not known is
  // released, too: should its Reserve() arrive later, it is refused. RESERVATION_CONFIRMED.
  absl::Status Release(const std::string& reservation_id, bool even_confirmed, Deadline deadline);

  // The stock of `skus`, or of all SKUs if it is empty; ordered by SKU, each once. UNKNOWN_SKU.
  absl::StatusOr<std::vector<v1::Stock>> Get(const std::vector<std::string>& skus,
                                             Deadline deadline);

  // Waits for running methods, then closes. Methods called later return FAILED_PRECONDITION.
  // Closing twice is OK. See sqlite::Connections::Close().
  absl::Status Close(Deadline deadline) { return connections_->Close(deadline); }

 private:
  // How a change has ended that is stored.
  struct Outcome {
    absl::Status answer = absl::OkStatus();
    std::optional<TimePoint> expires_at = std::nullopt;
  };
  // An error: it is undone.
  using Work = std::function<absl::StatusOr<Outcome>(sqlite::Database&, std::int64_t now)>;

  StockStore(std::unique_ptr<sqlite::Connections> connections, Now now)
      : connections_(std::move(connections)), now_(std::move(now)) {}

  // Makes the stock of expired reservations available again, and then a change. The first holds
  // also when the second is refused.
  absl::StatusOr<Outcome> Change(Deadline deadline, Work change);

  const std::unique_ptr<sqlite::Connections> connections_;
  const Now now_;
};

}  // namespace inventory

#endif  // SERVICE_INVENTORY_STOCK_STORE_H_
