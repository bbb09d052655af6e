#ifndef SERVICE_ORDERS_EVENT_FEED_H_
#define SERVICE_ORDERS_EVENT_FEED_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/support/slice.h"
#include "service/lifecycle/clock.h"
#include "service/orders/order_store.h"
#include "service/orders/sales.h"

namespace orders {

// An event, and the WatchOrdersResponse that tells of it: serialised once, and sent to all
// watchers without a copy. The responses to several events, one behind the other, are one response
// that tells of all: Protobuf appends what is repeated.
struct FeedEvent {
  OrderEvent event;
  grpc::Slice response;
};
using FeedEvents = std::vector<std::shared_ptr<const FeedEvent>>;

// `database`: OrderStore::DatabaseId().
FeedEvents ToFeedEvents(const std::string& database, std::vector<OrderEvent> events);

// The tail of the order log: one reader for all watchers.
//
// The problem: other replicas write to the same log, so it must be read again and again, but not by
// each of thousands of watchers.
//
// Guarantees: events are read and delivered in the order of the log, none twice and none left out.
//
// Threads: all methods may be called from any thread. CatchUp() blocks on a disk.
class EventFeed {
 public:
  // Calls `on_news` when there is something new, on the feed's thread or on one that is in CatchUp(),
  // while no other thread can take events in: it must neither block nor call CatchUp(). It may be
  // called once more while the subscription ends.
  class Subscription {
   public:
    Subscription(EventFeed& feed, std::function<void()> on_news);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    EventFeed& feed_;
    const std::shared_ptr<const std::function<void()>> on_news_;
  };

  // Continues from the last event that `sales` knows, and keeps `sales` up to date. Both outlive
  // the feed.
  EventFeed(OrderStore& store, Sales& sales, lifecycle::Clock& clock = lifecycle::Clock::Steady());

  // Reads the log to its end. Returns how many events were new. DEADLINE_EXCEEDED: it did not come
  // so far; no page takes longer than OrderStore::kTimeout.
  absl::StatusOr<std::int64_t> CatchUp(OrderStore::Deadline deadline = OrderStore::Deadline::max());

  // A background worker: waits for events, and takes them in. While the log cannot be read, it tries
  // again at growing intervals; the log says when that begins and when it is over.
  void Run(std::stop_token stop);

  // The last event that was read; 0: none.
  std::int64_t last_sequence() const;

  // The events after `sequence`, at most `limit`; none: it is the last one. Unset: ask the store,
  // because events that old are not kept, or because `sequence` is ahead of what was read.
  std::optional<FeedEvents> After(std::int64_t sequence, int limit) const;

 private:
  // The next events of the log; those that are known already do no harm. Returns how many were new.
  std::int64_t TakeIn(std::vector<OrderEvent> events, OrderStore::Deadline deadline);
  void TellSubscribers();
  // When the next events were removed: goes on from the totals that another replica has saved, which
  // include them. Watchers hear from the store that they missed them.
  absl::Status SkipRemoved(OrderStore::Deadline deadline);
  void Pause(const std::stop_token& stop, std::chrono::milliseconds duration);

  OrderStore& store_;
  Sales& sales_;
  lifecycle::Clock& clock_;
  std::mutex taking_in_;  // Before mutex_.

  mutable std::mutex mutex_;
  std::condition_variable_any never_;
  std::int64_t last_sequence_;  // Guarded by mutex_.
  // Guarded by mutex_. Without gaps.
  std::deque<std::shared_ptr<const FeedEvent>> recent_;
  std::size_t recent_bytes_ = 0;  // Guarded by mutex_. Of their responses.

  std::mutex subscribers_mutex_;
  // Guarded by subscribers_mutex_.
  std::set<std::shared_ptr<const std::function<void()>>> subscribers_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_EVENT_FEED_H_
