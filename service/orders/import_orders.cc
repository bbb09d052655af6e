#include "service/orders/import_orders.h"

#include <string>

#include "service/rpc/status.h"

namespace orders {

void ImportOrders::OnMessage(v1::ImportOrdersRequest& request) {
  // Held: an order that is being placed is finished first, and uses the call until then.
  placer_.Place(call_, request.order(),
                [this, stream = handle(), hold = Hold()](const absl::StatusOr<v1::Order>& placed) {
                  stream.Run([this, status = placed.status()] { OnPlaced(status); });
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
