#ifndef SERVICE_ORDERS_EVENT_CURSOR_H_
#define SERVICE_ORDERS_EVENT_CURSOR_H_

#include <cstdint>
#include <deque>
#include <memory>

#include "absl/status/statusor.h"
#include "service/orders/event_feed.h"
#include "service/orders/order_store.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/stream_order.h"

namespace orders {

// One stream's position in the order log, and what comes next: from memory while the
// stream keeps up, from the store while it is behind.
//
// Guarantees: events come in the order of the log, none twice and none left out.
//
// Threads: the stream's.
// Lifetime: a member of the stream.
class EventCursor {
 public:
  // Goes on after `sequence`.
  EventCursor(std::int64_t sequence, OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool,
              rpc::StreamHandle stream);

  // The next event. Null: there is none yet, and the stream is woken when there is. An
  // error, as a caller is told it: the log cannot be read on.
  absl::StatusOr<std::shared_ptr<const FeedEvent>> Next();

  // The sequence of the event that came last.
  std::int64_t sequence() const { return sequence_; }

 private:
  void FetchFromStore();
  void OnFetched(absl::StatusOr<FeedEvents> events);

  OrderStore& store_;
  EventFeed& feed_;
  rpc::BlockingPool& pool_;
  const rpc::StreamHandle stream_;
  std::int64_t sequence_;
  bool fetching_ = false;
  absl::Status failure_;
  std::deque<std::shared_ptr<const FeedEvent>> queue_;
  const EventFeed::Subscription subscription_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_EVENT_CURSOR_H_
