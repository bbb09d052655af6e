#include "service/orders/import_orders.h"

#include <string>
#include <utility>

#include "service/rpc/status.h"

namespace orders {
namespace {

constexpr char kDomain[] = "orders.v1";
constexpr char kDurable[] = "durable_orders";

}  // namespace

ImportOrders::ImportOrders(const grpc::CallbackServerContext& context,
                           v1::ImportOrdersResponse& response, OrderPlacer& placer,
                           std::stop_token draining)
    : context_(context), response_(response), placer_(placer) {
  StartRead(&request_);
  on_goodbye_.emplace(std::move(draining), [this] { OnGoodbye(); });
}

void ImportOrders::OnReadDone(bool ok) {
  std::unique_lock lock(mutex_);
  if (ended_) return;
  if (!ok) {
    response_.set_durable_orders(durable_);
    return End(std::move(lock), absl::OkStatus());
  }
  placing_ = true;
  lock.unlock();
  placer_.Place(context_, request_.order(),
                [this](const absl::StatusOr<v1::Order>& placed) { OnPlaced(placed.status()); });
}

void ImportOrders::OnPlaced(const absl::Status& status) {
  std::unique_lock lock(mutex_);
  placing_ = false;
  if (cancelled_) return End(std::move(lock), absl::CancelledError("the caller has gone"));
  if (!status.ok()) {
    return End(std::move(lock), rpc::WithErrorMetadata(status, kDomain, "ORDER_REFUSED",
                                                       {{kDurable, std::to_string(durable_)}}));
  }
  ++durable_;
  if (draining_) return End(std::move(lock), Goodbye());
  StartRead(&request_);
}

void ImportOrders::OnGoodbye() {
  std::unique_lock lock(mutex_);
  draining_ = true;
  // An order that is being placed is finished first: that is the safe point.
  if (!placing_) End(std::move(lock), Goodbye());
}

void ImportOrders::OnCancel() {
  std::unique_lock lock(mutex_);
  cancelled_ = true;
  if (!placing_) End(std::move(lock), absl::CancelledError("the caller has gone"));
}

void ImportOrders::OnDone() { delete this; }

void ImportOrders::End(std::unique_lock<std::mutex> lock, const absl::Status& status) {
  if (std::exchange(ended_, true)) return;
  lock.unlock();
  Finish(rpc::ToGrpc(status));
}

absl::Status ImportOrders::Goodbye() const {
  return rpc::Goodbye(kDomain, {{kDurable, std::to_string(durable_)}});
}

}  // namespace orders
