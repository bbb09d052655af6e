#ifndef SERVICE_ORDERS_ORDER_STORE_H_
#define SERVICE_ORDERS_ORDER_STORE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orders/v1/orders.pb.h"

namespace orders {

// One entry of the order log: the order after this event.
struct OrderEvent {
  // 1, 2, 3, ... in the order in which events became visible.
  std::int64_t sequence = 0;
  orders::v1::Order order;
};

// An order whose reservation must still be confirmed with the inventory.
struct OutboxItem {
  std::int64_t id = 0;
  std::string order_id;
  // The id of the stock's reservation.
  std::string reservation_id;
};

// How much of each SKU was ordered: the sum over the order log up to `sequence`, without cancelled
// orders.
struct SalesTotals {
  std::int64_t sequence = 0;
  std::map<std::string, std::int64_t> quantity_by_sku;
};

// Stores orders. The log of events is the truth; everything else can be derived from it.
//
// Guarantees: what a method has returned OK for survives kill -9 and power loss. Several processes
// may use the same database at once and see each other's writes. A reader that continues from the
// last sequence it saw misses no event.
//
// Errors of every method: UNAVAILABLE (the database is busy, full or gone; try again later; nothing
// was stored), DATA_LOSS (it is damaged), FAILED_PRECONDITION (it was closed). Others are named at
// the method.
//
// Threads: all methods may be called from any thread and may block on a disk, so never call them on
// a gRPC thread.
class OrderStore {
 public:
  virtual ~OrderStore() = default;

  struct Placed {
    orders::v1::Order order;
    // False: an order with this request_id already existed.
    bool created = false;
  };

  // Stores `order` in state PLACED, its event and its outbox item, all or nothing. Stores nothing
  // if its request_id already exists.
  //
  // ALREADY_EXISTS: the request_id exists with another customer or other items.
  virtual absl::StatusOr<Placed> Place(const orders::v1::Order& order,
                                       const std::string& reservation_id) = 0;

  // Unset: there is none.
  virtual absl::StatusOr<std::optional<orders::v1::Order>> FindByRequestId(
      const std::string& request_id) = 0;

  // Unset: there is none.
  virtual absl::StatusOr<std::optional<orders::v1::Order>> Find(const std::string& order_id) = 0;

  struct Page {
    std::vector<orders::v1::Order> orders;
    // Where the next page begins; 0: this is the last one.
    std::int64_t next = 0;
  };

  // At most `limit` orders, oldest first, beginning at `from` (0: the oldest).
  virtual absl::StatusOr<Page> List(std::int64_t from, int limit) = 0;

  // At most `limit` events with a sequence above `after`, in order.
  virtual absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t after, int limit) = 0;

  // The last event's sequence; 0: there is none.
  virtual absl::StatusOr<std::int64_t> LastSequence() = 0;

  // At most `limit` items above `after`, oldest first.
  virtual absl::StatusOr<std::vector<OutboxItem>> Outbox(std::int64_t after, int limit) = 0;

  // Completes an item: its order gets `state`, an event is written, and the item is removed, all or
  // nothing. Does nothing if the item is already gone (another replica was faster).
  virtual absl::Status Settle(const OutboxItem& item, orders::v1::OrderState state) = 0;

  // What SaveTotals() last stored; zero and empty before that.
  virtual absl::StatusOr<SalesTotals> LoadTotals() = 0;

  // Stores `totals`, unless the stored ones already include later events.
  virtual absl::Status SaveTotals(const SalesTotals& totals) = 0;

  // Waits for running methods, then closes. Methods called later return FAILED_PRECONDITION.
  // Closing twice is OK.
  virtual absl::Status Close() = 0;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_ORDER_STORE_H_
