#ifndef SERVICE_ORDERS_INVENTORY_CLIENT_H_
#define SERVICE_ORDERS_INVENTORY_CLIENT_H_

#include <functional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "inventory/v1/inventory.grpc.pb.h"
#include "orders/v1/orders.pb.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/backend.h"
#include "service/rpc/unary.h"

namespace orders {

// The inventory's API as the orders service needs it, with the errors of orders.proto.
//
// Threads: all methods may be called from any thread.
// Lifetime: outlives every Reserve() until its `done` was called.
class InventoryClient {
 public:
  // Once `answer_now` is requested, Reserve() gives up (rpc::GoodbyeSignal).
  explicit InventoryClient(const std::string& address, std::stop_token answer_now = {});

  // Reserves the order's items on behalf of `caller`, whose deadline and cancellation are passed
  // on. Does not block; `done` is called once, on a gRPC thread, with OK or with the error for the
  // caller (orders.proto).
  void Reserve(const rpc::Call& caller, const v1::PlaceOrderRequest& order,
               std::function<void(absl::Status)> done);

  // The reservation id that Reserve() uses: the same for every retry of an order.
  static std::string ReservationId(const std::string& request_id);

  // Confirms a reservation. Blocks until the inventory has answered, for a short time; once `stop`
  // is requested, only for a moment, and then returns CANCELLED.
  //
  // FAILED_PRECONDITION, NOT_FOUND: the reservation no longer exists, and there is no stock.
  // UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED: try again later.
  absl::Status Confirm(const std::string& reservation_id, std::stop_token stop);

  // Whether the inventory becomes reachable by `deadline`.
  bool AwaitConnected(lifecycle::Clock::TimePoint deadline) const {
    return backend_.AwaitConnected(deadline);
  }

  // Closes the channel (service/rpc/backend_channel.h): running calls end as if the inventory were
  // unreachable, Confirm() with CANCELLED; later calls are UNAVAILABLE.
  absl::Status Close(lifecycle::Clock::TimePoint deadline) { return backend_.Close(deadline); }

 private:
  rpc::Backend<inventory::v1::InventoryService> backend_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_INVENTORY_CLIENT_H_
