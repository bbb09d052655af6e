#ifndef SERVICE_ORDERS_WATCH_ORDERS_H_
#define SERVICE_ORDERS_WATCH_ORDERS_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>

#include "absl/status/status.h"
#include "grpcpp/support/server_callback.h"
#include "orders/v1/orders.pb.h"
#include "service/orders/event_pump.h"

namespace orders {

// One WatchOrders call: sends the order log from a position on, for ever, until
// the caller leaves or the server drains; then says where to go on.
//
// Lifetime: deletes itself when the call is over; until then it uses all that it
// was given.
class WatchOrders final : public grpc::ServerWriteReactor<v1::WatchOrdersResponse> {
 public:
  // Goes on after `sequence`.
  WatchOrders(std::int64_t sequence, OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool,
              std::stop_token draining);

 private:
  bool Send(const OrderEvent& event);
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  void SayGoodbye();
  // Finish(), once; later calls do nothing. Requires that the pump has stopped.
  void End(const absl::Status& status);

  v1::WatchOrdersResponse message_;  // gRPC's while it is written.
  std::atomic<bool> ended_{false};
  std::shared_ptr<EventPump> pump_;
  // Last: when the drain has begun already, its constructor calls back.
  std::optional<std::stop_callback<std::function<void()>>> on_drain_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_WATCH_ORDERS_H_
