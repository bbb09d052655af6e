#ifndef SERVICE_ORDERS_TRACK_ORDERS_H_
#define SERVICE_ORDERS_TRACK_ORDERS_H_

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
// The problem: replicas read the log at different times. A caller who comes from one that is ahead
// knows a later state than this one's feed. So an order is first told as the store has it, which is
// never older than what any replica has told of it; what the log tells meanwhile waits. From then on
// the state itself, which only ever moves forward, decides what is news.
class TrackOrders final : public rpc::BidiStream<v1::TrackOrdersRequest, v1::TrackOrdersResponse> {
 public:
  TrackOrders(OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool);
  ~TrackOrders() override { over_.request_stop(); }

 private:
  using Found = std::vector<absl::StatusOr<std::optional<v1::Order>>>;

  struct Followed {
    int told = -1;                  // Its state; -1: it is not looked up yet.
    std::vector<v1::Order> news{};  // What the log has told until then, each a state.
  };

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
  // What the log tells of an order.
  void OnEvent(const v1::Order& order);
  // Puts it in line, unless the order was told as far already.
  void Tell(const v1::Order& order, Followed& followed);
  // To resume after all that was sent, or is in the message that Next() fills.
  const std::string& ResumeToken();

  OrderStore& store_;
  rpc::BlockingPool& pool_;
  std::stop_source over_;  // Stopped when the call is.
  EventCursor cursor_;
  bool caller_is_done_ = false;
  std::string resume_token_;                     // ResumeToken() when nothing waited last.
  std::deque<std::string> unseen_;               // Followed, and not looked up yet.
  std::deque<v1::TrackOrdersResponse> answers_;  // In line to be sent.
  std::map<std::string, Followed> followed_;     // By id.
};

}  // namespace orders

#endif  // SERVICE_ORDERS_TRACK_ORDERS_H_
