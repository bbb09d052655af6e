#ifndef SERVICE_ORDERS_ORDER_STORE_H_
#define SERVICE_ORDERS_ORDER_STORE_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orders/v1/orders.pb.h"
#include "service/lifecycle/clock.h"

namespace orders {

// One entry of the order log: the order after this event.
struct OrderEvent {
  // 1, 2, 3, ... without gaps, in the order in which events became visible.
  std::int64_t sequence = 0;
  orders::v1::Order order;
};

// What must still be done at the inventory for an order.
struct OutboxItem {
  enum class Kind : std::int8_t {
    // Confirm the reservation; the order is PLACED.
    kConfirm = 0,
    // Release the reservation; the order is CANCELLED. The reservation may have been confirmed
    // meanwhile: then its stock is given back, too.
    kRelease = 1,
  };

  std::int64_t id = 0;
  Kind kind = Kind::kConfirm;
  std::string order_id;
  // The id of the stock's reservation.
  std::string reservation_id;
  // How often it was claimed, this time included.
  int attempts = 0;
  // When it became due, in the store's own unit.
  std::int64_t due_at = 0;
};

// An outbox item that is done.
struct Settlement {
  OutboxItem item;
  // The order's new state; unset: the order stays as it is, and no event is written.
  std::optional<orders::v1::OrderState> state;
};

// What waits in the outbox, claimed or not.
struct Backlog {
  std::int64_t depth = 0;
  // How long the oldest item has been there whose age is known; 0 when there is none. Since the
  // clock was set back, what was stored before counts as old.
  std::chrono::milliseconds oldest_age{0};
  // The same of those that must be confirmed: their reservations expire.
  std::chrono::milliseconds oldest_confirm_age{0};
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
// last sequence it saw misses no event. Reads do not wait for writes.
//
// Deadlines: every method returns by its deadline, or a moment later. Work whose deadline is over
// before it begins is not begun.
//
// Errors of every method that writes; after these, nothing was stored:
//   UNAVAILABLE          the database is busy, full or gone; try again later
//   DEADLINE_EXCEEDED    the deadline was over before the commit began
//   RESOURCE_EXHAUSTED   too much waits already: the deadline cannot be kept
//   FAILED_PRECONDITION  the store was closed, or its file was moved away
//   DATA_LOSS            the database is damaged
// and after this one, it may or may not be stored:
//   UNKNOWN              the commit has begun, and its end was not seen (the connection broke, the
//                        disk failed, the deadline came). Repeating the same call settles it: Place
//                        is idempotent by request_id, the others by themselves.
// Methods that read have the same errors, without UNKNOWN. Others are named at the method.
//
// Threads: all methods may be called from any thread and may block, so never call them on a gRPC
// thread. Calls of many threads at once share commits.
class OrderStore {
 public:
  using Deadline = lifecycle::Clock::TimePoint;

  // For work that nobody else limits: longer than a busy disk takes.
  static constexpr std::chrono::seconds kTimeout{5};
  static Deadline DefaultDeadline() { return lifecycle::Clock::Steady().Now() + kTimeout; }

  virtual ~OrderStore() = default;

  struct NewOrder {
    orders::v1::Order order;
    std::string reservation_id;
    // Called at most once, after Place() has returned UNKNOWN, if it turns out later that the order
    // is certainly not stored; a store need not find out. On any thread, perhaps after the store is
    // gone: so it owns what it uses. Must not block or throw.
    std::function<void()> not_stored = {};
  };
  struct Placed {
    orders::v1::Order order;
    // False: an order with this request_id already existed.
    bool created = false;
  };

  // Stores an order in state PLACED with its event and its outbox item of kind kConfirm, all or
  // nothing. Stores nothing if the request_id already exists.
  //
  // ALREADY_EXISTS: the request_id exists with another customer or other items.
  virtual absl::StatusOr<Placed> Place(NewOrder order, Deadline deadline) = 0;

  // Unset: there is none.
  virtual absl::StatusOr<std::optional<orders::v1::Order>> FindByRequestId(
      const std::string& request_id, Deadline deadline) = 0;

  // Unset: there is none.
  virtual absl::StatusOr<std::optional<orders::v1::Order>> Find(const std::string& order_id,
                                                                Deadline deadline) = 0;

  struct Page {
    std::vector<orders::v1::Order> orders;
    // Where the next page begins; 0: this is the last one.
    std::int64_t next = 0;
  };

  // At most `limit` orders, oldest first, beginning at `from` (0: the oldest).
  virtual absl::StatusOr<Page> List(std::int64_t from, int limit, Deadline deadline) = 0;

  // Cancels an order: state CANCELLED and its event; its outbox item of kind kConfirm, if it is
  // still there, is replaced by one of kind kRelease with a new id, so that a late Settle() of the
  // old one does nothing. Returns the order as it is now; does nothing to one that is cancelled.
  //
  // NOT_FOUND: there is no such order. UNIMPLEMENTED: an older version, which kept no reservation,
  // has confirmed it; it cannot be cancelled.
  virtual absl::StatusOr<orders::v1::Order> Cancel(const std::string& order_id,
                                                   Deadline deadline) = 0;

  // At most `limit` events with a sequence above `after`, in order.
  //
  // OUT_OF_RANGE: the next one was trimmed.
  virtual absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t after, int limit,
                                                              Deadline deadline) = 0;

  // The same, and waits until there is one, whichever process writes it. Empty: `deadline` came, or
  // a stop was requested. Several threads may wait at once.
  virtual absl::StatusOr<std::vector<OrderEvent>> AwaitEventsAfter(std::int64_t after, int limit,
                                                                   Deadline deadline,
                                                                   std::stop_token stop) = 0;

  // The last event's sequence; 0: there is none.
  virtual absl::StatusOr<std::int64_t> LastSequence(Deadline deadline) = 0;

  // Removes events with a sequence below `before`, except the last event and those that the saved
  // totals do not include. Returns how many. Many are removed in several commits, so that nobody
  // waits for all of them; at the deadline, or when a stop is requested, some may be left.
  virtual absl::StatusOr<std::int64_t> Trim(std::int64_t before, Deadline deadline,
                                            std::stop_token stop) = 0;

  // No lease and no delay is longer. Short: a clock that is set back by less than twice as much
  // hides items until it has caught up.
  static constexpr std::chrono::milliseconds kLongestLease = std::chrono::minutes(1);
  // What is due later than this from now was stored before the clock was set back, and is due now.
  // Well above the longest lease, because another replica may have looked at its clock later.
  static constexpr std::chrono::milliseconds kLatestDue = 2 * kLongestLease;

  // Claims at most `limit` outbox items that are due and that nobody holds, those that became due
  // first in front, for as long as `lease`: until then, no other claim returns them, whichever
  // process makes it. An item that is neither settled nor postponed by then is due again.
  virtual absl::StatusOr<std::vector<OutboxItem>> Claim(int limit, std::chrono::milliseconds lease,
                                                        Deadline deadline) = 0;

  struct Settled {
    std::int64_t removed = 0;
    // Left as they are, because another program has locked them or their orders.
    std::int64_t locked = 0;
  };

  // Completes items in one commit: each order gets its new state and an event, and the item is
  // removed. Does nothing for an item that is gone: another replica was faster, or the order was
  // cancelled; nor, for now, for one that another program has locked. The claim need not be held any
  // more.
  virtual absl::StatusOr<Settled> Settle(const std::vector<Settlement>& settlements,
                                         Deadline deadline) = 0;

  // Gives claimed items back, due again after `delay`. Does nothing for an item that is gone.
  virtual absl::Status Postpone(const std::vector<OutboxItem>& items,
                                std::chrono::milliseconds delay, Deadline deadline) = 0;

  // Gives claimed items back that nobody has worked on: as if they had not been claimed, with their
  // place in the queue. Does nothing for an item that is gone or was claimed again.
  virtual absl::Status GiveBack(const std::vector<OutboxItem>& items, Deadline deadline) = 0;

  virtual absl::StatusOr<Backlog> OutboxBacklog(Deadline deadline) = 0;

  // What SaveTotals() last stored; zero and empty before that.
  //
  // DATA_LOSS: the stored totals are damaged. ComputeTotals() makes them anew, and SaveTotals()
  // puts the damaged ones aside.
  virtual absl::StatusOr<SalesTotals> LoadTotals(Deadline deadline) = 0;

  // Stores `totals`, unless the stored ones already include later events.
  virtual absl::Status SaveTotals(const SalesTotals& totals, Deadline deadline) = 0;

  // The totals as they are now, from all orders. Slow.
  virtual absl::StatusOr<SalesTotals> ComputeTotals(Deadline deadline) = 0;

  // How many commits it has begun in this process, whatever became of them. Does not block.
  virtual std::int64_t Commits() const = 0;

  // 32 hexadecimal digits, chosen at random when the database was created. Two databases never have
  // the same one. Does not block.
  virtual const std::string& DatabaseId() const = 0;

  // Waits for running methods, then closes. Methods called later return FAILED_PRECONDITION, and
  // AwaitEventsAfter() ends at once. Closing twice is OK.
  //
  // DEADLINE_EXCEEDED: something still runs; then the store must not be destroyed. Another error:
  // it is closed, and something is wrong with what is left.
  virtual absl::Status Close(Deadline deadline) = 0;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_ORDER_STORE_H_
