#ifndef SERVICE_ORDERS_INVENTORY_CLIENT_H_
#define SERVICE_ORDERS_INVENTORY_CLIENT_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "inventory/v1/inventory.grpc.pb.h"
#include "orders/v1/orders.pb.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/backend.h"
#include "service/rpc/calls/limit_log.h"
#include "service/rpc/tls/tls_files.h"
#include "service/rpc/unary.h"

namespace orders {

// The inventory's API as the orders service needs it, with the errors of orders.proto.
//
// Threads: all methods may be called from any thread.
// Lifetime: outlives every call until its `done` was called. The destructor ends what Abandon() has
// begun, so it must not run on a gRPC thread.
class InventoryClient {
 public:
  // Once `answer_now` is requested, Reserve() gives up (rpc::GoodbyeSignal). `tls`, `tls_name`: as
  // BackendChannel::Options has them.
  explicit InventoryClient(const std::string& address, std::stop_token answer_now = {},
                           std::shared_ptr<const rpc::TlsFiles> tls = nullptr,
                           const std::string& tls_name = "");
  ~InventoryClient();

  // How long a reservation lives that is neither confirmed nor released.
  static constexpr std::chrono::minutes kReservationLife{10};

  using Done = std::function<void(absl::Status)>;

  // Reserves the order's items on behalf of `caller`, whose deadline and cancellation are passed
  // on. Does not block; `done` is called once, on a gRPC thread, with OK or with the error for the
  // caller (orders.proto).
  //
  // UNAVAILABLE: they may be reserved all the same; release them. What the inventory has answered
  // is logged, at most once a minute, unless it was only away or slow.
  void Reserve(const rpc::Call& caller, const std::string& reservation_id,
               const v1::PlaceOrderRequest& order, Done done);

  // These two call `done` once, on a gRPC thread, with the inventory's answer; CANCELLED once a stop
  // is requested of `give_up`. They do not block, and may be repeated after any error.
  //
  // FAILED_PRECONDITION, NOT_FOUND: the reservation no longer exists, and there is no stock.
  void Confirm(const std::string& reservation_id, std::stop_token give_up, Done done);
  // Gives the stock back, also what is confirmed.
  void Release(const std::string& reservation_id, std::stop_token give_up, Done done);

  // Gives the stock of an attempt back that came to nothing. Does not block. Best effort: what
  // fails, or comes when very many are running, is left to the reservation's life.
  void Abandon(const std::string& reservation_id);

  // Whether the inventory becomes reachable by `deadline`.
  bool AwaitConnected(lifecycle::Clock::TimePoint deadline) const {
    return backend_.AwaitConnected(deadline);
  }

  // The log says that it is not: once it is, the log says that, too.
  void SaidUnreachable() { backend_.SaidUnreachable(); }

  // Closes the channel (service/rpc/backend_channel.h): running calls end as if the inventory were
  // unreachable, Confirm() and Release() with CANCELLED; later calls are UNAVAILABLE.
  absl::Status Close(lifecycle::Clock::TimePoint deadline) { return backend_.Close(deadline); }

 private:
  // What Reserve() passes on: the error for its caller.
  absl::Status Told(const absl::Status& answer);

  // Of answers that no retry cures: wrong settings, another version.
  rpc::LimitLog errors_;
  // Shared: a call's last act comes after Close() has stopped waiting for it.
  const std::shared_ptr<std::atomic<int>> abandoning_ = std::make_shared<std::atomic<int>>(0);
  rpc::Backend<inventory::v1::InventoryService> backend_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_INVENTORY_CLIENT_H_
