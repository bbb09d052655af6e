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

// The background worker that completes orders: takes each outbox item, confirms its reservation
// with the inventory, and settles the order.
//
// Guarantees: an item is settled at least once, and settling it again changes nothing. So the relay
// may be killed at any moment, and several replicas may work on one outbox. When asked to stop, it
// finishes its current item, or leaves it to the next start if the inventory does not answer soon.
//
// Threads: Run() on one, Wake() on any.
class OutboxRelay {
 public:
  // `on_settled` is called after each item, on Run()'s thread.
  OutboxRelay(OrderStore& store, InventoryClient& inventory, std::function<void()> on_settled);

  // Works until `stop` is requested.
  void Run(std::stop_token stop);

  // Signals that there is a new item. Does not block.
  void Wake();

 private:
  // Works through the outbox once. False: the inventory or the store needs time.
  bool Work(const std::stop_token& stop);

  // Completes one order. CANCELLED: `stop` was requested meanwhile.
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
