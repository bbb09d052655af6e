#ifndef SERVICE_ORDERS_IMPORT_ORDERS_H_
#define SERVICE_ORDERS_IMPORT_ORDERS_H_

#include <cstdint>

#include "absl/status/status.h"
#include "grpcpp/server_context.h"
#include "orders/v1/orders.pb.h"
#include "service/orders/order_placer.h"
#include "service/rpc/stream.h"
#include "service/rpc/unary.h"

namespace orders {

// One ImportOrders call: places one order after the other. A drain ends it between
// two orders, and the caller is told how many are stored. So does an order that is refused, or whose
// outcome is not known.
class ImportOrders final : public rpc::ClientStream<v1::ImportOrdersRequest> {
 public:
  ImportOrders(const grpc::CallbackServerContext& context, v1::ImportOrdersResponse& response,
               OrderPlacer& placer)
      : call_(context), response_(response), placer_(placer) {}

 private:
  void OnMessage(v1::ImportOrdersRequest& request) override;
  void OnPlaced(const absl::Status& status);
  void OnAllSent() override { response_.set_durable_orders(durable_); }
  rpc::ResumePoint Goodbye() override;

  const rpc::Call call_;
  v1::ImportOrdersResponse& response_;
  OrderPlacer& placer_;
  std::int64_t durable_ = 0;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_IMPORT_ORDERS_H_
