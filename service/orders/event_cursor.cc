#include "service/orders/event_cursor.h"

#include <optional>
#include <utility>
#include <vector>

#include "service/orders/order_errors.h"

namespace orders {
namespace {

// How many events a stream holds in memory at most.
constexpr int kBatch = 64;

// Blocks.
absl::StatusOr<FeedEvents> Fetch(OrderStore& store, EventFeed& feed, std::int64_t after) {
  if (after > feed.last_sequence()) {
    // Another replica, whose feed is ahead of this one, has told of that event.
    const absl::StatusOr<std::int64_t> read = feed.CatchUp();
    if (!read.ok()) return FromStore(read.status());
    // Or it was another database.
    if (after > feed.last_sequence()) return BadToken("resume_token");
  }
  absl::StatusOr<std::vector<OrderEvent>> events =
      store.EventsAfter(after, kBatch, OrderStore::DefaultDeadline());
  if (!events.ok()) return FromStore(events.status());
  return ToFeedEvents(store.DatabaseId(), *std::move(events));
}

}  // namespace

EventCursor::EventCursor(std::int64_t sequence, OrderStore& store, EventFeed& feed,
                         rpc::BlockingPool& pool, rpc::StreamHandle stream)
    : store_(store),
      feed_(feed),
      pool_(pool),
      stream_(std::move(stream)),
      sequence_(sequence),
      subscription_(feed, [woken = stream_] { woken.Wake(); }) {}

absl::StatusOr<std::shared_ptr<const FeedEvent>> EventCursor::Next() {
  if (queue_.empty() && !fetching_ && failure_.ok()) {
    std::optional<FeedEvents> events = feed_.After(sequence_, kBatch);
    if (events) {
      queue_.assign(events->begin(), events->end());
    } else {
      FetchFromStore();
    }
  }
  if (!failure_.ok()) return failure_;
  if (queue_.empty()) return nullptr;
  std::shared_ptr<const FeedEvent> event = std::move(queue_.front());
  queue_.pop_front();
  sequence_ = event->event.sequence;
  return event;
}

void EventCursor::FetchFromStore() {
  fetching_ =
      pool_.Run([this, &store = store_, &feed = feed_, after = sequence_, stream = stream_] {
        stream.Run([this, events = Fetch(store, feed, after)] { OnFetched(events); });
      });
  if (!fetching_) failure_ = Overloaded();
}

void EventCursor::OnFetched(absl::StatusOr<FeedEvents> events) {
  fetching_ = false;
  if (!events.ok()) {
    failure_ = events.status();
    return;
  }
  queue_.assign(events->begin(), events->end());
}

}  // namespace orders
