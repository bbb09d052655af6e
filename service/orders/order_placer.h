#ifndef SERVICE_ORDERS_ORDER_PLACER_H_
#define SERVICE_ORDERS_ORDER_PLACER_H_

#include <functional>

#include "absl/status/statusor.h"
#include "orders/v1/orders.pb.h"
#include "service/orders/inventory_client.h"
#include "service/orders/order_store.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/unary.h"

namespace orders {

// Places one order: validate, look for the same request, reserve, store. What
// PlaceOrder and ImportOrders have in common.
//
// Threads: Place() may be called from any thread and does not block.
// Lifetime: outlives every Place() until its `done` was called.
class OrderPlacer {
 public:
  // `on_stored` is called for each order that was stored, before its `done`, on a
  // pool's thread.
  OrderPlacer(OrderStore& store, InventoryClient& inventory, rpc::BlockingPool& pool,
              std::function<void()> on_stored);

  using Done = std::function<void(absl::StatusOr<v1::Order>)>;

  // Calls `done` once, on any thread, perhaps before it returns. When the answer is
  // an order, that is stored.
  //
  // An error when nobody waits for it any more and it has not begun.
  //
  // Requires: the call of `caller`, and `request`, live until then.
  void Place(const rpc::Call& caller, const v1::PlaceOrderRequest& request, Done done);

 private:
  void Reserve(const rpc::Call& caller, const v1::PlaceOrderRequest& request, Done done);
  void Store(const rpc::Call& caller, const v1::PlaceOrderRequest& request, Done done);

  OrderStore& store_;
  InventoryClient& inventory_;
  rpc::BlockingPool& pool_;
  const std::function<void()> on_stored_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_ORDER_PLACER_H_
