#include "service/orders/import_orders.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "service/orders/order_errors.h"
#include "service/rpc/status.h"

namespace orders {
namespace {

// Holds the stream until it is told what became of the order that is being placed, which uses the
// call until then.
//
// The problem: when a step of the placing throws, what is to be called at its end is dropped, and the
// hold that goes with it ends the stream with INTERNAL, which does not say how many orders are stored.
// So this tells when it goes untold.
class Placing {
 public:
  Placing(rpc::StreamHandle stream, rpc::StreamHold hold,
          std::function<void(const absl::Status&)> on_placed)
      : stream_(std::move(stream)), hold_(std::move(hold)), on_placed_(std::move(on_placed)) {}
  ~Placing() {
    if (!told_) Tell(OutcomeUnknown());
  }
  Placing(const Placing&) = delete;
  Placing& operator=(const Placing&) = delete;

  void Tell(const absl::Status& status) {
    told_ = true;
    stream_.Run([on_placed = on_placed_, status] { on_placed(status); });
  }

 private:
  const rpc::StreamHandle stream_;
  const rpc::StreamHold hold_;
  const std::function<void(const absl::Status&)> on_placed_;
  bool told_ = false;
};

}  // namespace

void ImportOrders::OnMessage(v1::ImportOrdersRequest& request) {
  const auto placing = std::make_shared<Placing>(
      handle(), Hold(), [this](const absl::Status& status) { OnPlaced(status); });
  placer_.Place(call_, request.order(), [placing](const absl::StatusOr<v1::Order>& placed) {
    placing->Tell(placed.status());
  });
}

void ImportOrders::OnPlaced(const absl::Status& status) {
  if (status.ok()) {
    ++durable_;
    return;
  }
  const rpc::ResumePoint here = Goodbye();
  End(rpc::WithErrorMetadata(status, here.domain, "ORDER_REFUSED", here.metadata));
}

rpc::ResumePoint ImportOrders::Goodbye() {
  return {"orders.v1", {{"durable_orders", std::to_string(durable_)}}};
}

}  // namespace orders
