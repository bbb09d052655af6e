#include "service/orders/watch_orders.h"

#include <utility>

#include "service/orders/resume_token.h"
#include "service/rpc/status.h"

namespace orders {

WatchOrders::WatchOrders(std::int64_t sequence, OrderStore& store, EventFeed& feed,
                         rpc::BlockingPool& pool, std::stop_token draining)
    : pump_(EventPump::Create(
          sequence, store, feed, pool, [this](const OrderEvent& event) { return Send(event); },
          [this](const absl::Status& status) { End(status); })) {
  // Says that the watch stands. Its end starts the pump.
  message_.set_resume_token(MakeToken(TokenKind::kWatch, sequence));
  StartWrite(&message_);
  on_drain_.emplace(std::move(draining), [this] { SayGoodbye(); });
}

bool WatchOrders::Send(const OrderEvent& event) {
  message_.set_resume_token(MakeToken(TokenKind::kWatch, event.sequence));
  *message_.mutable_order() = event.order;
  StartWrite(&message_);
  return true;
}

void WatchOrders::OnWriteDone(bool ok) {
  if (ok) pump_->Sent();
  // Otherwise the call is broken, and OnCancel() comes.
}

void WatchOrders::OnCancel() {
  pump_->Stop();
  End(absl::CancelledError("the caller has gone"));
}

void WatchOrders::SayGoodbye() {
  // A write that is under way arrives before the status does.
  const std::int64_t sent = pump_->Stop();
  End(rpc::Goodbye("orders.v1", {{"resume_token", MakeToken(TokenKind::kWatch, sent)}}));
}

void WatchOrders::End(const absl::Status& status) {
  if (!ended_.exchange(true)) Finish(rpc::ToGrpc(status));
}

void WatchOrders::OnDone() { delete this; }

}  // namespace orders
