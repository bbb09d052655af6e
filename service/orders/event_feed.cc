#include "service/orders/event_feed.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "service/orders/resume_token.h"
#include "service/rpc/bytes.h"
#include "spdlog/spdlog.h"

namespace orders {
namespace {

// How late another replica's event may be.
constexpr std::chrono::milliseconds kInterval(50);
// How many events are kept for watchers that are nearly up to date.
constexpr std::size_t kKept = 4096;
constexpr int kPage = 512;
// The most that is replayed after kill -9.
constexpr std::int64_t kSaveEvery = 1000;

}  // namespace

FeedEvents ToFeedEvents(std::vector<OrderEvent> events) {
  FeedEvents all;
  all.reserve(events.size());
  for (OrderEvent& event : events) {
    v1::WatchOrdersResponse response;
    response.set_resume_token(MakeToken(TokenKind::kWatch, event.sequence));
    *response.mutable_order() = event.order;
    all.push_back(std::make_shared<const FeedEvent>(
        FeedEvent{.event = std::move(event), .response = rpc::ToBytes(response)}));
  }
  return all;
}

EventFeed::EventFeed(OrderStore& store, Sales& sales)
    : store_(store), sales_(sales), last_sequence_(sales.totals().sequence) {}

absl::StatusOr<std::int64_t> EventFeed::CatchUp() {
  std::lock_guard reading(catching_up_);
  std::int64_t count = 0;
  for (;;) {
    const std::int64_t after = last_sequence();
    absl::StatusOr<std::vector<OrderEvent>> events = store_.EventsAfter(after, kPage);
    if (!events.ok()) return events.status();
    if (events->empty()) return count;
    count += static_cast<std::int64_t>(events->size());
    for (const OrderEvent& event : *events) sales_.Apply(event);
    const std::int64_t last = events->back().sequence;
    FeedEvents page = ToFeedEvents(*std::move(events));
    {
      std::lock_guard lock(mutex_);
      std::move(page.begin(), page.end(), std::back_inserter(recent_));
      while (recent_.size() > kKept) recent_.pop_front();
      last_sequence_ = last;
    }
    TellSubscribers();
    if (last / kSaveEvery != after / kSaveEvery) {
      if (const absl::Status saved = sales_.Save(); !saved.ok()) {
        spdlog::warn("sales totals not saved, will try again: {}", saved.ToString());
      }
    }
  }
}

void EventFeed::Run(std::stop_token stop) {
  while (!stop.stop_requested()) {
    if (const absl::StatusOr<std::int64_t> read = CatchUp(); !read.ok()) {
      spdlog::warn("the order log cannot be read, will try again: {}", read.status().ToString());
    }
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, stop, kInterval, [this] { return woken_; });
    woken_ = false;
  }
}

void EventFeed::Wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

EventFeed::Subscription::Subscription(EventFeed& feed, std::function<void()> on_news)
    : feed_(feed), on_news_(std::make_shared<const std::function<void()>>(std::move(on_news))) {
  std::lock_guard lock(feed_.subscribers_mutex_);
  feed_.subscribers_.insert(on_news_);
}

EventFeed::Subscription::~Subscription() {
  std::lock_guard lock(feed_.subscribers_mutex_);
  feed_.subscribers_.erase(on_news_);
}

std::int64_t EventFeed::last_sequence() const {
  std::lock_guard lock(mutex_);
  return last_sequence_;
}

std::optional<FeedEvents> EventFeed::After(std::int64_t sequence, int limit) const {
  std::lock_guard lock(mutex_);
  if (sequence == last_sequence_) return FeedEvents();
  if (sequence > last_sequence_ || recent_.empty() ||
      sequence + 1 < recent_.front()->event.sequence) {
    return std::nullopt;
  }
  const auto from = std::upper_bound(
      recent_.begin(), recent_.end(), sequence,
      [](std::int64_t value, const auto& event) { return value < event->event.sequence; });
  const auto count = std::min<std::ptrdiff_t>(recent_.end() - from, limit);
  return FeedEvents(from, from + count);
}

void EventFeed::TellSubscribers() {
  std::vector<std::shared_ptr<const std::function<void()>>> told;
  {
    std::lock_guard lock(subscribers_mutex_);
    told.assign(subscribers_.begin(), subscribers_.end());
  }
  for (const auto& on_news : told) (*on_news)();
}

}  // namespace orders
