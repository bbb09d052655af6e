#include "service/orders/outbox_relay.h"

#include <algorithm>
#include <cstddef>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "spdlog/spdlog.h"

namespace orders {
namespace {

using lifecycle::Clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Settled in one transaction.
constexpr int kPage = 512;
// How many calls the inventory gets at once: usually, and while more than a page waits. It serves
// those who place orders at the same time, and shares its time among all of them.
constexpr int kParallel = 16;
constexpr int kMaxParallel = 128;
// Nothing more of a page is begun after this; what is running has the channel's timeout to end.
constexpr seconds kPageTime(3);
// Longer than a page can take: nobody else begins what is still being worked on. What a replica had
// claimed when it was killed waits as long.
constexpr seconds kLease(15);
// How long running calls may take once a stop is requested.
constexpr milliseconds kFinish(200);

// How often the outbox is looked at for what another replica has left behind.
constexpr milliseconds kInterval(500);
constexpr milliseconds kLookInterval(1000);
constexpr milliseconds kFirstBackoff(50);
constexpr milliseconds kMaxBackoff(2000);
constexpr milliseconds kMaxItemBackoff(30000);

// Whether the next item would meet the same trouble: it lies with the inventory, and not with the
// one item.
bool ConcernsAll(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status) || absl::IsResourceExhausted(status);
}

bool HasNoStock(const absl::Status& status) {
  return absl::IsFailedPrecondition(status) || absl::IsNotFound(status);
}

// What becomes of an item that was answered with `answer`; unset: it is tried again.
std::optional<Settlement> SettlementFor(const OutboxItem& item, const absl::Status& answer) {
  if (item.kind == OutboxItem::Kind::kRelease) {
    if (!answer.ok()) return std::nullopt;
    return Settlement{item, std::nullopt};
  }
  if (answer.ok()) return Settlement{item, v1::ORDER_STATE_CONFIRMED};
  if (!HasNoStock(answer)) return std::nullopt;
  spdlog::warn("order {} is cancelled: {}", item.order_id, answer.ToString());
  return Settlement{item, v1::ORDER_STATE_CANCELLED};
}

milliseconds DelayOf(const OutboxItem& item) {
  const int doublings = std::clamp(item.attempts - 1, 0, 10);
  return std::min(kFirstBackoff * (1 << doublings), kMaxItemBackoff);
}

std::string Describe(const OutboxStatus& status) {
  const auto age = std::chrono::duration_cast<seconds>(status.oldest_age).count();
  if (status.depth == 0 && age > 0) return absl::StrCat("nothing waited ", age, " s ago");
  return absl::StrCat(status.depth, " items wait, the oldest for ", age, " s",
                      status.pushing_back ? "; new orders are refused" : "");
}

}  // namespace

// What the inventory has said of each item; unset: it was not asked.
struct OutboxRelay::Answers {
  std::vector<std::optional<absl::Status>> of_item;
  // The trouble that made the relay ask no further.
  absl::Status trouble;
};

OutboxRelay::OutboxRelay(OrderStore& store, InventoryClient& inventory, Clock& clock)
    : store_(store),
      inventory_(inventory),
      clock_(clock),
      trouble_("the outbox relay has trouble",
               [](const std::string& line) { spdlog::warn("{}", line); }),
      parallel_(kParallel),
      looked_(clock.Now()) {}

void OutboxRelay::Run(std::stop_token stop) {
  milliseconds backoff = kFirstBackoff;
  while (!stop.stop_requested()) {
    if (const absl::Status looked = LookAtBacklog(); !looked.ok()) {
      ReportTrouble(absl::StrCat("the outbox cannot be counted: ", looked.ToString()));
    }
    const Worked worked = WorkOnPage(stop);
    if (worked == Worked::kTrouble) {
      // Not woken by new items: they would meet the same trouble.
      Rest(stop, backoff, /*deaf=*/true);
      backoff = std::min(backoff * 2, kMaxBackoff);
      continue;
    }
    backoff = kFirstBackoff;
    if (worked == Worked::kAll) Rest(stop, kInterval);
  }
}

void OutboxRelay::Wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  changed_.notify_all();
}

OutboxStatus OutboxRelay::Status() const {
  std::lock_guard lock(mutex_);
  OutboxStatus status = status_;
  if (status.in_trouble) {
    status.oldest_age += std::chrono::duration_cast<milliseconds>(clock_.Now() - looked_);
  }
  return status;
}

absl::Status OutboxRelay::Health() const {
  const OutboxStatus status = Status();
  if (!status.in_trouble && status.oldest_age <= kOld) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat(
      Describe(status), status.troubles == 0 ? "" : "; the last trouble: ", status.last_trouble));
}

OutboxRelay::Worked OutboxRelay::WorkOnPage(const std::stop_token& stop) {
  const std::int64_t before = Status().troubles;
  const Worked worked = TryPage(stop);
  std::lock_guard lock(mutex_);
  status_.in_trouble = status_.troubles != before || !counted_;
  return worked;
}

OutboxRelay::Worked OutboxRelay::TryPage(const std::stop_token& stop) {
  const absl::StatusOr<std::vector<OutboxItem>> items =
      store_.Claim(kPage, kLease, OrderStore::DefaultDeadline());
  if (!items.ok()) {
    ReportTrouble(absl::StrCat("the outbox cannot be read: ", items.status().ToString()));
    return Worked::kTrouble;
  }
  if (items->empty()) return Worked::kAll;
  const Answers answers = Ask(*items, stop);
  const absl::Status concluded = Conclude(*items, answers);
  const bool more = items->size() == kPage;
  AdaptTo(answers, more);
  if (!concluded.ok()) {
    ReportTrouble(absl::StrCat("orders cannot be settled: ", concluded.ToString()));
    return Worked::kTrouble;
  }
  if (!answers.trouble.ok() && !stop.stop_requested()) {
    ReportTrouble(absl::StrCat("the inventory: ", answers.trouble.ToString()));
    return Worked::kTrouble;
  }
  return more ? Worked::kSome : Worked::kAll;
}

OutboxRelay::Answers OutboxRelay::Ask(const std::vector<OutboxItem>& items,
                                      const std::stop_token& stop) {
  // On this thread's stack: it waits until every call has ended.
  struct Page {
    std::mutex mutex;
    std::condition_variable_any changed;
    int running = 0;  // Guarded by mutex, as all of this.
    Answers answers;
  };
  Page page;
  page.answers.of_item.resize(items.size());
  std::stop_source give_up;
  const Clock::TimePoint begin_until = clock_.Now() + kPageTime;

  std::unique_lock lock(page.mutex);
  for (std::size_t i = 0; i < items.size(); ++i) {
    clock_.WaitUntil(lock, page.changed, Clock::TimePoint::max(), stop,
                     [&] { return page.running < parallel_; });
    if (stop.stop_requested() || !page.answers.trouble.ok() || clock_.Now() >= begin_until) break;
    ++page.running;
    lock.unlock();
    AskAboutOne(items[i], give_up.get_token(), [&page, i](absl::Status answer) {
      std::lock_guard answered(page.mutex);
      if (ConcernsAll(answer)) page.answers.trouble = answer;
      page.answers.of_item[i] = std::move(answer);
      --page.running;
      page.changed.notify_all();
    });
    lock.lock();
  }
  const auto none_runs = [&page] { return page.running == 0; };
  if (!clock_.WaitUntil(lock, page.changed, Clock::TimePoint::max(), stop, none_runs) &&
      !clock_.WaitUntil(lock, page.changed, clock_.Now() + kFinish, {}, none_runs)) {
    lock.unlock();
    give_up.request_stop();
    lock.lock();
    page.changed.wait(lock, none_runs);
  }
  return std::move(page.answers);
}

void OutboxRelay::AskAboutOne(const OutboxItem& item, std::stop_token give_up,
                              InventoryClient::Done done) {
  if (item.kind == OutboxItem::Kind::kRelease) {
    inventory_.Release(item.reservation_id, std::move(give_up), std::move(done));
  } else {
    inventory_.Confirm(item.reservation_id, std::move(give_up), std::move(done));
  }
}

absl::Status OutboxRelay::Conclude(const std::vector<OutboxItem>& items, const Answers& answers) {
  std::vector<Settlement> settlements;
  std::vector<OutboxItem> unasked;
  std::map<milliseconds, std::vector<OutboxItem>> later;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::optional<absl::Status>& answer = answers.of_item[i];
    if (!answer) {
      unasked.push_back(items[i]);
    } else if (auto settlement = SettlementFor(items[i], *answer)) {
      settlements.push_back(*std::move(settlement));
    } else if (ConcernsAll(*answer)) {
      // Behind the others: perhaps it is this one that makes the trouble.
      later[milliseconds(0)].push_back(items[i]);
    } else {
      ReportTrouble(absl::StrCat("order ", items[i].order_id,
                                 " is not settled, will try again: ", answer->ToString()));
      later[DelayOf(items[i])].push_back(items[i]);
    }
  }
  absl::Status status;
  if (!settlements.empty()) {
    const absl::StatusOr<OrderStore::Settled> settled =
        store_.Settle(settlements, OrderStore::DefaultDeadline());
    status = settled.status();
    if (settled.ok()) Count(*settled);
  }
  if (!unasked.empty()) {
    status.Update(store_.GiveBack(unasked, OrderStore::DefaultDeadline()));
  }
  for (const auto& [delay, postponed] : later) {
    status.Update(store_.Postpone(postponed, delay, OrderStore::DefaultDeadline()));
  }
  // What the store has not taken is claimed again when its lease is over.
  return status;
}

void OutboxRelay::Count(const OrderStore::Settled& settled) {
  {
    std::lock_guard lock(mutex_);
    status_.settled += settled.removed;
  }
  if (settled.locked == 0) return;
  ReportTrouble(absl::StrCat(settled.locked, " items are locked by another program"));
}

void OutboxRelay::AdaptTo(const Answers& answers, bool more) {
  if (!answers.trouble.ok()) {
    parallel_ = std::max(parallel_ / 2, 1);
  } else if (more) {
    parallel_ = std::min(parallel_ * 2, kMaxParallel);
  } else {
    parallel_ = std::min(parallel_ + 2, kParallel);
  }
}

absl::Status OutboxRelay::LookAtBacklog() {
  const Clock::TimePoint now = clock_.Now();
  if (now < next_look_) return absl::OkStatus();
  next_look_ = now + kLookInterval;
  const absl::StatusOr<Backlog> backlog = store_.OutboxBacklog(OrderStore::DefaultDeadline());
  counted_ = backlog.ok();
  if (!backlog.ok()) return backlog.status();
  OutboxStatus status = Status();
  const bool before = std::exchange(status.pushing_back, backlog->oldest_confirm_age > kMaxAge);
  status.depth = backlog->depth;
  status.oldest_age = backlog->oldest_age;
  if (before && !status.pushing_back) {
    spdlog::info("the outbox relay has caught up, new orders are accepted: {}", Describe(status));
  }
  {
    std::lock_guard lock(mutex_);
    status_ = status;
    looked_ = clock_.Now();
  }
  if (status.pushing_back) trouble_.Count(absl::StrCat("it is behind; ", Describe(status)));
  return absl::OkStatus();
}

void OutboxRelay::ReportTrouble(const std::string& what) {
  {
    std::lock_guard lock(mutex_);
    ++status_.troubles;
    status_.last_trouble = what;
  }
  trouble_.Count(absl::StrCat(what, "; ", Describe(Status())));
}

void OutboxRelay::Rest(const std::stop_token& stop, milliseconds limit, bool deaf) {
  std::unique_lock lock(mutex_);
  clock_.WaitUntil(lock, changed_, clock_.Now() + limit, stop,
                   [this, deaf] { return woken_ && !deaf; });
  if (!deaf) woken_ = false;
}

}  // namespace orders
