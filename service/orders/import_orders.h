#ifndef SERVICE_ORDERS_IMPORT_ORDERS_H_
#define SERVICE_ORDERS_IMPORT_ORDERS_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>

#include "absl/status/status.h"
#include "grpcpp/support/server_callback.h"
#include "orders/v1/orders.pb.h"
#include "service/orders/order_placer.h"

namespace orders {

// One ImportOrders call: places one order after the other. A drain ends it between
// two orders, and the caller is told how many are stored.
//
// Lifetime: deletes itself when the call is over; until then it uses all that it
// was given.
class ImportOrders final : public grpc::ServerReadReactor<v1::ImportOrdersRequest> {
 public:
  ImportOrders(const grpc::CallbackServerContext& context, v1::ImportOrdersResponse& response,
               OrderPlacer& placer, std::stop_token draining);

 private:
  void OnReadDone(bool ok) override;
  void OnPlaced(const absl::Status& status);
  void OnGoodbye();
  void OnCancel() override;
  void OnDone() override;

  // Finish(), once; later calls do nothing. Requires `lock` on mutex_, and lets go
  // of it first: after Finish() this object may be gone at any moment.
  void End(std::unique_lock<std::mutex> lock, const absl::Status& status);
  absl::Status Goodbye() const;

  const grpc::CallbackServerContext& context_;
  v1::ImportOrdersResponse& response_;
  OrderPlacer& placer_;
  v1::ImportOrdersRequest request_;  // gRPC's while it is read, the placer's while it is placed.

  std::mutex mutex_;
  bool placing_ = false;      // Guarded by mutex_.
  bool draining_ = false;     // Guarded by mutex_.
  bool cancelled_ = false;    // Guarded by mutex_.
  bool ended_ = false;        // Guarded by mutex_.
  std::int64_t durable_ = 0;  // Guarded by mutex_.

  // Last: when the drain has begun already, its constructor calls back.
  std::optional<std::stop_callback<std::function<void()>>> on_goodbye_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_IMPORT_ORDERS_H_
