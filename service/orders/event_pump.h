#ifndef SERVICE_ORDERS_EVENT_PUMP_H_
#define SERVICE_ORDERS_EVENT_PUMP_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/orders/event_feed.h"
#include "service/orders/order_store.h"
#include "service/rpc/blocking_pool.h"

namespace orders {

// Moves the order log, event by event, into one stream, no faster than the stream
// takes it: from memory while the stream keeps up, from the store while it is
// behind.
//
// Guarantees: events are sent in the order of the log, none twice and none left
// out.
//
// Threads: all methods may be called from any thread. The callbacks are called
// from any thread, one at a time.
// Lifetime: shared with its own work in the pool; the callbacks are not used after
// Stop() has returned.
class EventPump final : private EventFeed::Subscriber,
                        public std::enable_shared_from_this<EventPump> {
 public:
  // Starts to write `event`, and returns true: Sent() will say when the next may
  // come. False: this stream leaves the event out. Calls no method of the pump.
  using Send = std::function<bool(const OrderEvent& event)>;
  // The log cannot be read on, as `status` tells the caller. Called once at most,
  // and no other callback after it. Calls no method of the pump.
  using Fail = std::function<void(const absl::Status& status)>;

  // Goes on after `sequence`, once Sent() has been called for the first time.
  static std::shared_ptr<EventPump> Create(std::int64_t sequence, OrderStore& store,
                                           EventFeed& feed, rpc::BlockingPool& pool, Send send,
                                           Fail fail);
  ~EventPump() override;

  // The stream is ready for the next event.
  void Sent();

  // Ends it, and waits for a callback that runs, so call it in none. Returns the
  // sequence of the last event that was given to `send`. May be called again.
  std::int64_t Stop();

 private:
  EventPump(std::int64_t sequence, OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool,
            Send send, Fail fail);

  void OnNews() override;
  // Sends until the stream is busy or there is nothing left. Requires mutex_.
  void Pump();
  // Requires mutex_.
  void FetchFromStore();
  // Blocks.
  absl::StatusOr<std::vector<OrderEvent>> Fetch(std::int64_t after);
  void OnFetched(absl::StatusOr<std::vector<OrderEvent>> events);
  // Requires mutex_.
  void End(const absl::Status& status);

  OrderStore& store_;
  EventFeed& feed_;
  rpc::BlockingPool& pool_;
  const Send send_;
  const Fail fail_;

  std::mutex mutex_;
  // The stream writes, or the store is read: the end of that calls Pump() again.
  bool busy_ = true;              // Guarded by mutex_.
  bool stopped_ = false;          // Guarded by mutex_.
  std::int64_t fetched_;          // Guarded by mutex_: the last that was in queue_.
  std::int64_t sent_;             // Guarded by mutex_.
  std::deque<OrderEvent> queue_;  // Guarded by mutex_.
};

}  // namespace orders

#endif  // SERVICE_ORDERS_EVENT_PUMP_H_
