#ifndef SERVICE_ORDERS_OUTBOX_RELAY_H_
#define SERVICE_ORDERS_OUTBOX_RELAY_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/orders/inventory_client.h"
#include "service/orders/order_store.h"
#include "service/rpc/calls/limit_log.h"

namespace orders {

// How far the relay was behind when it last looked, and whether it has trouble. While it cannot look,
// that is trouble, and the rest is as old as it is.
struct OutboxStatus {
  std::int64_t depth = 0;
  // While there is trouble, with the time since it looked: what waited then is taken to wait still,
  // and where nothing did, another replica's item is taken to have come at once.
  std::chrono::milliseconds oldest_age{0};
  // Items that this relay has settled, without those that were gone by then.
  std::int64_t settled = 0;
  // How often it has had trouble, the last trouble in words, and whether it has any now.
  std::int64_t troubles = 0;
  std::string last_trouble = {};
  bool in_trouble = false;
  // New orders are refused until the relay has caught up.
  bool pushing_back = false;
};

// The background worker that completes orders: claims a page of the outbox, confirms or releases
// the reservations at the inventory, several at once, and settles the page in one transaction.
//
// The problem: an order whose reservation expires before it is confirmed loses its stock to
// another. So the relay keeps up by construction: when much waits, it asks for more at a time, and
// who places orders gets less of the inventory. It says when that is not enough: once the oldest
// item to be confirmed is older than half of a reservation's life, it pushes back, and no new order
// is accepted.
//
// Guarantees:
//   - an item is settled at least once, and settling it again changes nothing, so the relay may be
//     killed at any moment
//   - the relays of several replicas share the work: a claimed item is left to its relay for a while
//   - an inventory that is overloaded or unreachable gets fewer requests at a time, and no item is
//     lost
//   - an item that fails is tried again later and does not delay the others
//   - one that was claimed and not asked about keeps its place before newer ones
//   - when asked to stop, it settles the items whose answers are under way, and releases the others
//
// Threads: Run() on one, the others on any.
class OutboxRelay {
 public:
  // When new orders are refused: the inventory then has as much time again for the oldest one.
  static constexpr std::chrono::milliseconds kMaxAge = InventoryClient::kReservationLife / 2;

  OutboxRelay(OrderStore& store, InventoryClient& inventory,
              lifecycle::Clock& clock = lifecycle::Clock::Steady());

  // Looks how far the relay is behind, if that is long enough ago. Call it before Run() begins and
  // before anybody places orders: what was left behind must push back from the first moment on.
  absl::Status LookAtBacklog();

  // Works until `stop` is requested.
  void Run(std::stop_token stop);

  // Signals that there is a new item. Does not block.
  void Wake();

  // These are cheap: they look at no store.
  OutboxStatus Status() const;
  // UNAVAILABLE, in a sentence for operators: it has trouble, or the oldest item is older than kOld.
  absl::Status Health() const;
  static constexpr std::chrono::seconds kOld{10};

 private:
  enum class Worked { kAll, kSome, kTrouble };
  struct Answers;

  // Works through one page, and says what of it is trouble.
  Worked WorkOnPage(const std::stop_token& stop);
  Worked TryPage(const std::stop_token& stop);
  // Asks the inventory about each item, at most `parallel_` at once.
  Answers Ask(const std::vector<OutboxItem>& items, const std::stop_token& stop);
  void AskAboutOne(const OutboxItem& item, std::stop_token give_up, InventoryClient::Done done);
  // Settles what is answered, and gives the rest back.
  absl::Status Conclude(const std::vector<OutboxItem>& items, const Answers& answers);
  // Reports what was locked.
  void Count(const OrderStore::Settled& settled);
  // More at once when all is well, many when there is more than a page, half as many when the
  // inventory has trouble.
  void AdaptTo(const Answers& answers, bool more);

  void ReportTrouble(const std::string& what);

  // Sleeps until Wake(), unless `deaf`, until a stop is requested, or `limit`.
  void Rest(const std::stop_token& stop, std::chrono::milliseconds limit, bool deaf = false);

  OrderStore& store_;
  InventoryClient& inventory_;
  lifecycle::Clock& clock_;
  rpc::LimitLog trouble_;
  // These belong to Run()'s thread.
  int parallel_;
  lifecycle::Clock::TimePoint next_look_{};
  bool counted_ = true;  // When it looked last.

  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  bool woken_ = false;   // Guarded by mutex_.
  OutboxStatus status_;  // Guarded by mutex_, like the next one.
  lifecycle::Clock::TimePoint looked_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_OUTBOX_RELAY_H_
