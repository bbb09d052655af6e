#ifndef SERVICE_INVENTORY_INVENTORY_SERVICE_H_
#define SERVICE_INVENTORY_INVENTORY_SERVICE_H_

#include <chrono>

#include "inventory/v1/inventory.grpc.pb.h"
#include "service/inventory/stock_store.h"
#include "service/rpc/blocking_pool.h"

namespace inventory {

// Implements inventory.proto: validates each call, does its work in the pool, and answers what the
// proto promises.
//
// Lifetime: outlives its server; the store and the pool outlive it.
class InventoryService final : public v1::InventoryService::CallbackService {
 public:
  // `latency`: delay before every Reserve begins, to simulate a slow backend. It ends early if the
  // caller leaves.
  InventoryService(StockStore& store, rpc::BlockingPool& pool,
                   std::chrono::milliseconds latency = std::chrono::milliseconds(0));

  grpc::ServerUnaryReactor* Reserve(grpc::CallbackServerContext* context,
                                    const v1::ReserveRequest* request,
                                    v1::ReserveResponse* response) override;
  grpc::ServerUnaryReactor* Confirm(grpc::CallbackServerContext* context,
                                    const v1::ConfirmRequest* request,
                                    v1::ConfirmResponse* response) override;
  grpc::ServerUnaryReactor* Release(grpc::CallbackServerContext* context,
                                    const v1::ReleaseRequest* request,
                                    v1::ReleaseResponse* response) override;
  grpc::ServerUnaryReactor* GetStock(grpc::CallbackServerContext* context,
                                     const v1::GetStockRequest* request,
                                     v1::GetStockResponse* response) override;

 private:
  StockStore& store_;
  rpc::BlockingPool& pool_;
  const std::chrono::milliseconds latency_;
};

}  // namespace inventory

#endif  // SERVICE_INVENTORY_INVENTORY_SERVICE_H_
