#ifndef SERVICE_ORDERS_ORDER_PLACER_H_
#define SERVICE_ORDERS_ORDER_PLACER_H_

#include <functional>
#include <memory>
#include <string>

#include "orders/v1/orders.pb.h"
#include "service/orders/inventory_client.h"
#include "service/orders/order_store.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/unary.h"

namespace orders {

// Places one order: validate, look for the same request, reserve, store. What
// PlaceOrder and ImportOrders have in common.
//
// Each attempt has a reservation of its own. So one that comes to nothing can give its stock back at
// once, whatever a retry of the same request does meanwhile.
//
// A reservation whose order may be stored is kept: it is given back if the store learns, while the
// placer lives, that the order is not, and else expires.
//
// Threads: Place() may be called from any thread and does not block.
// Lifetime: outlives every Place() until its `done` was called or dropped.
class OrderPlacer {
 public:
  struct Hooks {
    // Called for each order that was stored, before its `done`, on a pool's thread.
    std::function<void()> on_stored;
    // Whether new orders are refused because the relay is behind (outbox_relay.h). Must not block.
    std::function<bool()> pushing_back;
  };
  OrderPlacer(OrderStore& store, InventoryClient& inventory, rpc::BlockingPool& pool, Hooks hooks);
  ~OrderPlacer();
  OrderPlacer(const OrderPlacer&) = delete;
  OrderPlacer& operator=(const OrderPlacer&) = delete;

  using Done = std::function<void(absl::StatusOr<v1::Order>)>;

  // Calls `done` once, on any thread, perhaps before it returns. When the answer is
  // an order, that is stored. Drops `done` when a step throws, which the pool or the inventory's
  // client reports: then the order may or may not be stored.
  //
  // No step is begun once nobody waits for the answer; what is reserved then is released.
  //
  // Requires: the call of `caller`, and `request`, live until then.
  void Place(const rpc::Call& caller, const v1::PlaceOrderRequest& request, Done done);

 private:
  class LateAbandoning;

  void Find(const rpc::Call& caller, const v1::PlaceOrderRequest& request, const Done& done);
  void Reserve(const rpc::Call& caller, const v1::PlaceOrderRequest& request, Done done);
  absl::StatusOr<v1::Order> Store(const rpc::Call& caller, const v1::PlaceOrderRequest& request,
                                  const std::string& reservation_id);

  OrderStore& store_;
  InventoryClient& inventory_;
  rpc::BlockingPool& pool_;
  const Hooks hooks_;
  const std::shared_ptr<LateAbandoning> late_;  // Shared with the store's writer.
};

}  // namespace orders

#endif  // SERVICE_ORDERS_ORDER_PLACER_H_
