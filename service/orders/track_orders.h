#ifndef SERVICE_ORDERS_TRACK_ORDERS_H_
#define SERVICE_ORDERS_TRACK_ORDERS_H_

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orders/v1/orders.pb.h"
#include "service/orders/event_cursor.h"
#include "service/rpc/stream.h"

namespace orders {

// One TrackOrders call: the caller names orders at any time, and is sent each
// one's present state and its changes.
//
// Bounded: ids in a message and ids that are followed, as orders.proto says. Orders are looked up
// in batches, and no further once the call is over.
//
// An order is never told in an older state than before: its states only ever move
// forward, so what a look into the store and the log tell of one order is put in
// order by the state itself.
class TrackOrders final : public rpc::BidiStream<v1::TrackOrdersRequest, v1::TrackOrdersResponse> {
 public:
  TrackOrders(OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool);
  ~TrackOrders() override { over_.request_stop(); }

 private:
  using Found = std::vector<absl::StatusOr<std::optional<v1::Order>>>;

  bool Next(v1::TrackOrdersResponse& message) override;
  void OnMessage(v1::TrackOrdersRequest& request) override;
  void OnHalfClose() override { caller_is_done_ = true; }
  bool CanRead() override;
  rpc::ResumePoint Goodbye() override;

  // Adds and removes what `request` names. INVALID_ARGUMENT, and nothing more is done: it has or
  // makes too many.
  absl::Status Follow(const v1::TrackOrdersRequest& request);
  // Looks the next ones of unseen_ up, in the pool.
  void LookUp();
  void OnFound(const std::vector<std::string>& order_ids, const Found& found);
  // Puts it in line, unless the order is not followed or was told as far already.
  void Tell(const v1::Order& order);

  OrderStore& store_;
  rpc::BlockingPool& pool_;
  std::stop_source over_;  // Stopped when the call is.
  EventCursor cursor_;
  bool caller_is_done_ = false;
  std::string resume_token_;                     // Of the message that was filled last.
  std::deque<std::string> unseen_;               // Followed, and not looked up yet.
  std::deque<v1::TrackOrdersResponse> answers_;  // In line to be sent.
  std::map<std::string, int> told_;              // id -> state, -1: none.
};

}  // namespace orders

#endif  // SERVICE_ORDERS_TRACK_ORDERS_H_
