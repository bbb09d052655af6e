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

// One entry of the order log: the order as this event left it.
struct OrderEvent {
  // 1, 2, 3, ... in the order in which events became visible.
  std::int64_t sequence = 0;
  orders::v1::Order order;
};

// An order whose reservation is still to be confirmed at the inventory.
struct OutboxItem {
  std::int64_t id = 0;
  std::string order_id;
  // What the stock was reserved under.
  std::string reservation_id;
};

// How much of each SKU was ordered: the sum over the order log up to `sequence`,
// cancelled orders taken out again.
struct SalesTotals {
  std::int64_t sequence = 0;
  std::map<std::string, std::int64_t> quantity_by_sku;
};

// Where orders live. The log of events is the truth; everything else can be told
// from it.
//
// Guarantees: what a method has returned OK for survives kill -9 and power loss.
// Several processes may use the same database at once, and see each other's
// writes. A reader that goes on from the last sequence it saw misses no event.
//
// Errors of every method: UNAVAILABLE (the database is busy, full or gone; try
// again later; nothing was stored), DATA_LOSS (it is damaged), FAILED_PRECONDITION
// (it was closed). Others are named at the method.
//
// Threads: all methods may be called from any thread and may block on a disk, so
// never on a gRPC thread.
class OrderStore {
 public:
  virtual ~OrderStore() = default;

  struct Placed {
    orders::v1::Order order;
    // False: it was there already, by the same request_id.
    bool created = false;
  };

  // Stores `order` in state PLACED, its event and its outbox item, all or nothing.
  // When its request_id is there already, nothing is stored.
  //
  // ALREADY_EXISTS: the request_id is there with another customer or other items.
  virtual absl::StatusOr<Placed> Place(const orders::v1::Order& order,
                                       const std::string& reservation_id) = 0;

  // Unset: there is none.
  virtual absl::StatusOr<std::optional<orders::v1::Order>> FindByRequestId(
      const std::string& request_id) = 0;

  // Unset: there is none.
  virtual absl::StatusOr<std::optional<orders::v1::Order>> Find(const std::string& order_id) = 0;

  struct Page {
    std::vector<orders::v1::Order> orders;
    // Where the next page begins; 0: there is none.
    std::int64_t next = 0;
  };

  // At most `limit` orders, oldest first, from `from` (0: the oldest) on.
  virtual absl::StatusOr<Page> List(std::int64_t from, int limit) = 0;

  // At most `limit` events with a sequence above `after`, in order.
  virtual absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t after, int limit) = 0;

  // The last event's sequence; 0: there is none.
  virtual absl::StatusOr<std::int64_t> LastSequence() = 0;

  // At most `limit` items above `after`, oldest first.
  virtual absl::StatusOr<std::vector<OutboxItem>> Outbox(std::int64_t after, int limit) = 0;

  // The item is done: its order gets `state`, an event tells it, the item is gone,
  // all or nothing. Nothing happens when the item is gone already (another replica
  // was faster).
  virtual absl::Status Settle(const OutboxItem& item, orders::v1::OrderState state) = 0;

  // What SaveTotals() stored last; zero and empty before the first time.
  virtual absl::StatusOr<SalesTotals> LoadTotals() = 0;

  // Stores them, unless what is stored reaches further already.
  virtual absl::Status SaveTotals(const SalesTotals& totals) = 0;

  // Waits for what runs, then closes. Methods called later return
  // FAILED_PRECONDITION. Closing twice is OK.
  virtual absl::Status Close() = 0;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_ORDER_STORE_H_
