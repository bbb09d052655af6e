#include "service/orders/track_orders.h"

#include <utility>

#include "service/orders/order_errors.h"
#include "service/orders/resume_token.h"
#include "service/rpc/status.h"

namespace orders {
namespace {

// How many answers may wait for a caller before its next request is read.
constexpr std::size_t kMostUnread = 4096;

}  // namespace

TrackOrders* TrackOrders::Start(OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool,
                                std::stop_token draining) {
  std::shared_ptr<TrackOrders> call(new TrackOrders(store, feed, pool));
  TrackOrders* reactor = call.get();
  reactor->self_ = std::move(call);
  reactor->pump_ = EventPump::Create(
      reactor->seen_, store, feed, pool,
      [reactor](const OrderEvent& event) { return reactor->Send(event); },
      [reactor](const absl::Status& status) {
        std::lock_guard lock(reactor->mutex_);
        reactor->End(status);
      });
  {
    std::lock_guard lock(reactor->mutex_);
    reactor->GoOn();
  }
  reactor->pump_->Sent();
  reactor->on_drain_.emplace(std::move(draining), [reactor] {
    std::lock_guard lock(reactor->mutex_);
    reactor->End(rpc::Goodbye("orders.v1", {{"resume_token", reactor->resume_token_}}));
  });
  return reactor;
}

TrackOrders::TrackOrders(OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool)
    : store_(store),
      pool_(pool),
      seen_(feed.last_sequence()),
      resume_token_(MakeToken(TokenKind::kWatch, seen_)) {}

void TrackOrders::OnReadDone(bool ok) {
  std::lock_guard lock(mutex_);
  if (ended_) return;
  if (!ok) {
    caller_is_done_ = true;
    return GoOn();
  }
  std::vector<std::string> added;
  for (const std::string& id : request_.add_order_ids()) {
    if (told_.emplace(id, -1).second) added.push_back(id);
  }
  for (const std::string& id : request_.remove_order_ids()) told_.erase(id);
  if (added.empty()) {
    read_waits_ = true;
    return GoOn();
  }
  // The next request is read when this one was looked up: a caller that adds
  // faster than the store answers waits.
  if (!pool_.Run([self = self_, added = std::move(added)] { self->LookUp(added); })) {
    End(Overloaded());
  }
}

void TrackOrders::LookUp(const std::vector<std::string>& order_ids) {
  std::vector<absl::StatusOr<std::optional<v1::Order>>> found;
  found.reserve(order_ids.size());
  for (const std::string& id : order_ids) found.push_back(store_.Find(id));

  std::lock_guard lock(mutex_);
  for (std::size_t i = 0; i < order_ids.size(); ++i) {
    if (!found[i].ok()) return End(FromStore(found[i].status()));
    v1::Order unknown;
    unknown.set_order_id(order_ids[i]);
    Tell(found[i]->value_or(unknown));
  }
  read_waits_ = true;
  GoOn();
}

bool TrackOrders::Send(const OrderEvent& event) {
  std::lock_guard lock(mutex_);
  seen_ = event.sequence;
  if (ended_ || !Tell(event.order)) return false;
  pump_waits_ = true;
  GoOn();
  return true;
}

bool TrackOrders::Tell(const v1::Order& order) {
  const auto followed = told_.find(order.order_id());
  if (followed == told_.end() || followed->second >= order.state()) return false;
  followed->second = order.state();
  v1::TrackOrdersResponse& response = queue_.emplace_back();
  *response.mutable_order() = order;
  response.set_resume_token(MakeToken(TokenKind::kWatch, seen_));
  return true;
}

void TrackOrders::GoOn() {
  if (ended_) return;
  if (!writing_ && !queue_.empty()) {
    writing_ = true;
    resume_token_ = queue_.front().resume_token();
    StartWrite(&queue_.front());
  }
  if (read_waits_ && queue_.size() < kMostUnread) {
    read_waits_ = false;
    StartRead(&request_);
  }
  if (caller_is_done_ && queue_.empty()) End(absl::OkStatus());
}

void TrackOrders::OnWriteDone(bool ok) {
  bool pump_goes_on = false;
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
    queue_.pop_front();
    if (!ok) return;  // The call is broken, and OnCancel() comes.
    GoOn();
    if (queue_.empty()) pump_goes_on = std::exchange(pump_waits_, false);
  }
  if (pump_goes_on) pump_->Sent();
}

void TrackOrders::OnCancel() {
  std::lock_guard lock(mutex_);
  End(absl::CancelledError("the caller has gone"));
}

void TrackOrders::End(const absl::Status& status) {
  if (std::exchange(ended_, true)) return;
  Finish(rpc::ToGrpc(status));
}

void TrackOrders::OnDone() {
  // Waits for callbacks that run, so without mutex_.
  on_drain_.reset();
  pump_->Stop();
  self_.reset();
}

}  // namespace orders
