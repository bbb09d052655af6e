#include "service/orders/event_feed.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "service/orders/resume_token.h"
#include "spdlog/spdlog.h"

namespace orders {
namespace {

// How long one wait for events lasts, and how long a failed one is not repeated.
constexpr std::chrono::seconds kWait(5);
constexpr std::chrono::milliseconds kFirstBackoff(50);
constexpr std::chrono::milliseconds kMaxBackoff(2000);
// How long events wait for the totals to be saved.
constexpr std::chrono::seconds kSaveWait(1);
// How many events are kept for watchers that are nearly up to date, and how many bytes of messages:
// an order may have a hundred items of several hundred bytes.
constexpr std::size_t kKept = 4096;
constexpr std::size_t kKeptBytes = 16 * 1024 * 1024;
constexpr int kPage = 512;
// The most that is replayed after kill -9.
constexpr std::int64_t kSaveEvery = 1000;

}  // namespace

FeedEvents ToFeedEvents(const std::string& database, std::vector<OrderEvent> events) {
  FeedEvents all;
  all.reserve(events.size());
  for (OrderEvent& event : events) {
    v1::WatchOrdersResponse response;
    v1::WatchOrdersResponse::Event& told = *response.add_events();
    told.set_resume_token(MakeToken(TokenKind::kWatch, database, event.sequence));
    *told.mutable_order() = event.order;
    all.push_back(std::make_shared<const FeedEvent>(FeedEvent{
        .event = std::move(event), .response = grpc::Slice(response.SerializeAsString())}));
  }
  return all;
}

EventFeed::EventFeed(OrderStore& store, Sales& sales, lifecycle::Clock& clock)
    : store_(store), sales_(sales), clock_(clock), last_sequence_(sales.totals().sequence) {}

absl::StatusOr<std::int64_t> EventFeed::CatchUp(OrderStore::Deadline deadline) {
  std::int64_t count = 0;
  for (;;) {
    const OrderStore::Deadline of_page = std::min(deadline, OrderStore::DefaultDeadline());
    if (std::chrono::steady_clock::now() >= deadline) {
      return absl::DeadlineExceededError("the order log was not read to its end in time");
    }
    const std::int64_t after = last_sequence();
    absl::StatusOr<std::vector<OrderEvent>> events = store_.EventsAfter(after, kPage, of_page);
    if (absl::IsOutOfRange(events.status())) {
      const absl::Status skipped = SkipRemoved(of_page);
      if (last_sequence() > after) continue;  // Here, or meanwhile on another thread.
      if (!skipped.ok()) return skipped;
    }
    if (!events.ok()) return events.status();
    if (events->empty()) return count;
    count += TakeIn(*std::move(events), deadline);
  }
}

void EventFeed::Run(std::stop_token stop) {
  bool readable = true;
  std::chrono::milliseconds backoff = kFirstBackoff;
  while (!stop.stop_requested()) {
    const std::int64_t after = last_sequence();
    absl::StatusOr<std::vector<OrderEvent>> events =
        store_.AwaitEventsAfter(after, kPage, std::chrono::steady_clock::now() + kWait, stop);
    if (events.ok()) {
      if (!std::exchange(readable, true)) spdlog::info("the order log can be read again");
      backoff = kFirstBackoff;
      TakeIn(*std::move(events), OrderStore::Deadline::max());
      continue;
    }
    if (absl::IsOutOfRange(events.status())) {
      SkipRemoved(OrderStore::DefaultDeadline()).IgnoreError();
      if (last_sequence() > after) continue;  // Here, or meanwhile on another thread.
    }
    if (std::exchange(readable, false)) {
      spdlog::warn("the order log cannot be read, and events wait until it can: {}",
                   events.status().ToString());
    }
    Pause(stop, backoff);
    backoff = std::min(2 * backoff, kMaxBackoff);
  }
}

absl::Status EventFeed::SkipRemoved(OrderStore::Deadline deadline) {
  std::lock_guard taking_in(taking_in_);
  absl::Status loaded = sales_.CatchUpWithSaved(deadline);
  const std::int64_t reached = sales_.totals().sequence;
  FeedEvents old;  // Destroyed without the lock.
  {
    std::lock_guard lock(mutex_);
    if (!loaded.ok() || reached <= last_sequence_) return loaded;
    spdlog::warn(
        "the events {} to {} of the order log were removed before this replica has read "
        "them; watchers that need them are told",
        last_sequence_ + 1, reached);
    old.assign(recent_.begin(), recent_.end());
    recent_.clear();
    recent_bytes_ = 0;
    last_sequence_ = reached;
  }
  TellSubscribers();
  return absl::OkStatus();
}

void EventFeed::Pause(const std::stop_token& stop, std::chrono::milliseconds duration) {
  std::unique_lock lock(mutex_);
  clock_.WaitUntil(lock, never_, clock_.Now() + duration, stop, [] { return false; });
}

std::int64_t EventFeed::TakeIn(std::vector<OrderEvent> events, OrderStore::Deadline deadline) {
  std::lock_guard taking_in(taking_in_);
  const std::int64_t before = last_sequence();
  // Somebody else may have read the same.
  const auto known = [&](const OrderEvent& event) { return event.sequence <= before; };
  events.erase(std::remove_if(events.begin(), events.end(), known), events.end());
  if (events.empty()) return 0;
  for (const OrderEvent& event : events) sales_.Apply(event);
  const std::int64_t last = events.back().sequence;
  FeedEvents page = ToFeedEvents(store_.DatabaseId(), std::move(events));
  const auto count = static_cast<std::int64_t>(page.size());
  FeedEvents old;  // Destroyed without the lock.
  {
    std::lock_guard lock(mutex_);
    for (const auto& event : page) recent_bytes_ += event->response.size();
    std::move(page.begin(), page.end(), std::back_inserter(recent_));
    for (; recent_.size() > kKept || recent_bytes_ > kKeptBytes; recent_.pop_front()) {
      recent_bytes_ -= recent_.front()->response.size();
      old.push_back(std::move(recent_.front()));
    }
    last_sequence_ = last;
  }
  TellSubscribers();
  if (last / kSaveEvery != before / kSaveEvery) {
    const auto until = std::min(deadline, std::chrono::steady_clock::now() + kSaveWait);
    if (const absl::Status saved = sales_.Save(until); !saved.ok()) {
      spdlog::warn("sales totals not saved, will try again: {}", saved.ToString());
    }
  }
  return count;
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
