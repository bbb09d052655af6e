#ifndef SERVICE_ORDERS_OUTBOX_RELAY_H_
#define SERVICE_ORDERS_OUTBOX_RELAY_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>

#include "absl/status/status.h"
#include "service/orders/inventory_client.h"
#include "service/orders/order_store.h"

namespace orders {

// The background worker that carries orders to their end: takes each item of the
// outbox, confirms its reservation at the inventory, settles the order.
//
// Guarantees: an item is settled at least once, and settling again changes
// nothing, so it may be killed at any moment, and replicas may work on one outbox
// together. Asked to stop it finishes the item that it is at, or leaves it for the
// next start when the inventory does not answer soon.
//
// Threads: Run() on one, Wake() on any.
class OutboxRelay {
 public:
  // `on_settled` is called after each item, on Run()'s thread.
  OutboxRelay(OrderStore& store, InventoryClient& inventory, std::function<void()> on_settled);

  // Works until `stop` is requested.
  void Run(std::stop_token stop);

  // Says that there is a new item. Does not block.
  void Wake();

 private:
  // Works through the outbox once. False: the inventory or the store must be given
  // time.
  bool Work(const std::stop_token& stop);

  // Carries one order to its end. CANCELLED: `stop` was requested meanwhile.
  absl::Status Settle(const OutboxItem& item, const std::stop_token& stop);

  // Sleeps until Wake(), `stop`, or `limit`.
  void Rest(const std::stop_token& stop, std::chrono::milliseconds limit);

  OrderStore& store_;
  InventoryClient& inventory_;
  const std::function<void()> on_settled_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool woken_ = false;  // Guarded by mutex_.
};

}  // namespace orders

#endif  // SERVICE_ORDERS_OUTBOX_RELAY_H_
