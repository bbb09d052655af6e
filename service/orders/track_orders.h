#ifndef SERVICE_ORDERS_TRACK_ORDERS_H_
#define SERVICE_ORDERS_TRACK_ORDERS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/support/server_callback.h"
#include "orders/v1/orders.pb.h"
#include "service/orders/event_pump.h"

namespace orders {

// One TrackOrders call: the caller names orders at any time, and is sent each
// one's present state and its changes.
//
// An order is never told in an older state than before: its states only ever move
// forward, so what a look into the store and the log tell of one order is put in
// order by the state itself.
//
// Lifetime: keeps itself alive until the call is over and no work of it waits in
// the pool; until then it uses all that it was given.
class TrackOrders final
    : public grpc::ServerBidiReactor<v1::TrackOrdersRequest, v1::TrackOrdersResponse> {
 public:
  // Begins to serve one call. The answer is what the service method returns.
  static TrackOrders* Start(OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool,
                            std::stop_token draining);

 private:
  TrackOrders(OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

  bool Send(const OrderEvent& event);
  void LookUp(const std::vector<std::string>& order_ids);

  // What follows requires mutex_.
  // Puts it in line, unless the order is not followed or was told as far already.
  bool Tell(const v1::Order& order);
  // Starts what can be started now: a write, a read, the end.
  void GoOn();
  // Finish(), once; later calls do nothing.
  void End(const absl::Status& status);

  OrderStore& store_;
  rpc::BlockingPool& pool_;
  std::shared_ptr<TrackOrders> self_;  // Reset when the call is over.
  std::shared_ptr<EventPump> pump_;
  v1::TrackOrdersRequest request_;  // gRPC's while it is read.

  std::mutex mutex_;
  bool writing_ = false;                       // Guarded by mutex_.
  bool ended_ = false;                         // Guarded by mutex_.
  bool caller_is_done_ = false;                // Guarded by mutex_.
  bool read_waits_ = true;                     // Guarded by mutex_.
  bool pump_waits_ = false;                    // Guarded by mutex_.
  std::int64_t seen_;                          // Guarded by mutex_: the last event of the pump's.
  std::string resume_token_;                   // Guarded by mutex_: of what was written last.
  std::deque<v1::TrackOrdersResponse> queue_;  // Guarded by mutex_; front: gRPC's while writing_.
  std::map<std::string, int> told_;            // Guarded by mutex_: id -> state, -1: none.

  // Last: when the drain has begun already, its constructor calls back.
  std::optional<std::stop_callback<std::function<void()>>> on_drain_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_TRACK_ORDERS_H_
