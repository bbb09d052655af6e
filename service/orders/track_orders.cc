#include "service/orders/track_orders.h"

#include <utility>

#include "service/orders/order_errors.h"
#include "service/orders/resume_token.h"
#include "service/rpc/status.h"

namespace orders {

TrackOrders* TrackOrders::Start(OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool,
                                std::stop_token draining) {
  std::shared_ptr<TrackOrders> call(new TrackOrders(store, feed, pool));
  TrackOrders* reactor = call.get();
  reactor->self_ = std::move(call);
  reactor->pump_ = EventPump::Create(
      reactor->begin_, store, feed, pool,
      [reactor](const OrderEvent& event) { return reactor->Send(event); },
      [reactor](const absl::Status& status) {
        std::lock_guard lock(reactor->mutex_);
        reactor->End(status);
      });
  reactor->pump_->Sent();
  reactor->StartRead(&reactor->request_);
  reactor->on_drain_.emplace(std::move(draining), [reactor] {
    std::lock_guard lock(reactor->mutex_);
    reactor->End(rpc::Goodbye("orders.v1"));
  });
  return reactor;
}

TrackOrders::TrackOrders(OrderStore& store, EventFeed& feed, rpc::BlockingPool& pool)
    : store_(store), pool_(pool), begin_(feed.last_sequence()) {}

void TrackOrders::OnReadDone(bool ok) {
  std::unique_lock lock(mutex_);
  if (ended_) return;
  if (!ok) {
    caller_is_done_ = true;
    WriteNext();
    return;
  }
  std::vector<std::string> added;
  for (const std::string& id : request_.add_order_ids()) {
    if (told_.emplace(id, -1).second) added.push_back(id);
  }
  for (const std::string& id : request_.remove_order_ids()) told_.erase(id);
  if (!added.empty()) {
    ++looking_up_;
    if (!pool_.Run([self = self_, added = std::move(added)] { self->LookUp(added); })) {
      return End(Overloaded());
    }
  }
  // The next request is read when this one was looked up: a caller that adds
  // faster than the store answers waits.
  if (looking_up_ == 0) StartRead(&request_);
}

void TrackOrders::LookUp(const std::vector<std::string>& order_ids) {
  std::vector<absl::StatusOr<std::optional<v1::Order>>> found;
  found.reserve(order_ids.size());
  for (const std::string& id : order_ids) found.push_back(store_.Find(id));

  std::lock_guard lock(mutex_);
  --looking_up_;
  if (ended_) return;
  for (std::size_t i = 0; i < order_ids.size(); ++i) {
    if (!found[i].ok()) return End(FromStore(found[i].status()));
    v1::Order unknown;
    unknown.set_order_id(order_ids[i]);
    Tell(found[i]->value_or(unknown), begin_);
  }
  WriteNext();
  if (!ended_) StartRead(&request_);
}

bool TrackOrders::Send(const OrderEvent& event) {
  std::lock_guard lock(mutex_);
  if (ended_ || !Tell(event.order, event.sequence)) return false;
  pump_waits_ = true;
  WriteNext();
  return true;
}

bool TrackOrders::Tell(const v1::Order& order, std::int64_t sequence) {
  const auto followed = told_.find(order.order_id());
  if (followed == told_.end() || followed->second >= order.state()) return false;
  followed->second = order.state();
  v1::TrackOrdersResponse& response = queue_.emplace_back();
  *response.mutable_order() = order;
  response.set_resume_token(MakeToken(TokenKind::kWatch, sequence));
  return true;
}

void TrackOrders::WriteNext() {
  if (ended_ || writing_) return;
  if (!queue_.empty()) {
    writing_ = true;
    StartWrite(&queue_.front());
  } else if (caller_is_done_ && looking_up_ == 0) {
    End(absl::OkStatus());
  }
}

void TrackOrders::OnWriteDone(bool ok) {
  bool pump_goes_on = false;
  {
    std::lock_guard lock(mutex_);
    writing_ = false;
    queue_.pop_front();
    if (!ok) return;  // The call is broken, and OnCancel() comes.
    WriteNext();
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
