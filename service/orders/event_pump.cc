#include "service/orders/event_pump.h"

#include <iterator>
#include <utility>

#include "service/orders/order_errors.h"

namespace orders {
namespace {

// How many events a stream holds in memory at most.
constexpr int kBatch = 64;

}  // namespace

std::shared_ptr<EventPump> EventPump::Create(std::int64_t sequence, OrderStore& store,
                                             EventFeed& feed, rpc::BlockingPool& pool, Send send,
                                             Fail fail) {
  std::shared_ptr<EventPump> pump(
      new EventPump(sequence, store, feed, pool, std::move(send), std::move(fail)));
  feed.Subscribe(*pump);
  return pump;
}

EventPump::EventPump(std::int64_t sequence, OrderStore& store, EventFeed& feed,
                     rpc::BlockingPool& pool, Send send, Fail fail)
    : store_(store),
      feed_(feed),
      pool_(pool),
      send_(std::move(send)),
      fail_(std::move(fail)),
      fetched_(sequence),
      sent_(sequence) {}

EventPump::~EventPump() { Stop(); }

void EventPump::Sent() {
  std::lock_guard lock(mutex_);
  busy_ = false;
  Pump();
}

std::int64_t EventPump::Stop() {
  feed_.Unsubscribe(*this);
  std::lock_guard lock(mutex_);
  stopped_ = true;
  queue_.clear();
  return sent_;
}

void EventPump::OnNews() {
  std::lock_guard lock(mutex_);
  Pump();
}

void EventPump::Pump() {
  while (!stopped_ && !busy_) {
    if (queue_.empty()) {
      std::optional<std::vector<OrderEvent>> events = feed_.After(fetched_, kBatch);
      if (!events) return FetchFromStore();
      if (events->empty()) return;
      fetched_ = events->back().sequence;
      queue_.assign(std::make_move_iterator(events->begin()),
                    std::make_move_iterator(events->end()));
    }
    const OrderEvent event = std::move(queue_.front());
    queue_.pop_front();
    busy_ = send_(event);
    sent_ = event.sequence;
  }
}

void EventPump::FetchFromStore() {
  busy_ = true;
  const bool taken = pool_.Run(
      [self = shared_from_this(), after = fetched_] { self->OnFetched(self->Fetch(after)); });
  if (!taken) End(Overloaded());
}

absl::StatusOr<std::vector<OrderEvent>> EventPump::Fetch(std::int64_t after) {
  if (after > feed_.last_sequence()) {
    // Another replica, whose feed is ahead of this one, has told of that event.
    const absl::StatusOr<std::int64_t> read = feed_.CatchUp();
    if (!read.ok()) return FromStore(read.status());
    // Or it was another database.
    if (after > feed_.last_sequence()) return BadToken("resume_token");
  }
  absl::StatusOr<std::vector<OrderEvent>> events = store_.EventsAfter(after, kBatch);
  if (!events.ok()) return FromStore(events.status());
  return events;
}

void EventPump::OnFetched(absl::StatusOr<std::vector<OrderEvent>> events) {
  std::lock_guard lock(mutex_);
  if (stopped_) return;
  if (!events.ok()) return End(events.status());
  busy_ = false;
  if (!events->empty()) fetched_ = events->back().sequence;
  queue_.assign(std::make_move_iterator(events->begin()), std::make_move_iterator(events->end()));
  Pump();
}

void EventPump::End(const absl::Status& status) {
  stopped_ = true;
  fail_(status);
}

}  // namespace orders
