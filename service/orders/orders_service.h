#ifndef SERVICE_ORDERS_ORDERS_SERVICE_H_
#define SERVICE_ORDERS_ORDERS_SERVICE_H_

#include "orders/v1/orders.grpc.pb.h"
#include "service/orders/event_feed.h"
#include "service/orders/order_placer.h"
#include "service/orders/order_store.h"
#include "service/orders/sales.h"
#include "service/rpc/blocking_pool.h"

namespace orders {

// Each method gets messages, but WatchOrders bytes: CallbackService's would be hidden by it.
using RawWatchOrders = v1::OrdersService::WithRawCallbackMethod_WatchOrders<
    v1::OrdersService::WithCallbackMethod_PlaceOrder<v1::OrdersService::WithCallbackMethod_GetOrder<
        v1::OrdersService::WithCallbackMethod_CancelOrder<
            v1::OrdersService::WithCallbackMethod_GetSales<
                v1::OrdersService::WithCallbackMethod_ListOrders<
                    v1::OrdersService::WithCallbackMethod_ImportOrders<
                        v1::OrdersService::WithCallbackMethod_TrackOrders<
                            v1::OrdersService::Service>>>>>>>>;

// What orders.proto promises. Every method validates, hands what may block to the
// pool, and returns at once.
//
// WatchOrders is served raw: its messages are serialised once for all of its callers.
//
// Lifetime: outlives the server, and is outlived by what it is given.
class OrdersService final : public RawWatchOrders {
 public:
  OrdersService(OrderStore& store, OrderPlacer& placer, EventFeed& feed, const Sales& sales,
                rpc::BlockingPool& pool);

  grpc::ServerUnaryReactor* PlaceOrder(grpc::CallbackServerContext* context,
                                       const v1::PlaceOrderRequest* request,
                                       v1::PlaceOrderResponse* response) override;
  grpc::ServerUnaryReactor* GetOrder(grpc::CallbackServerContext* context,
                                     const v1::GetOrderRequest* request,
                                     v1::GetOrderResponse* response) override;
  grpc::ServerUnaryReactor* CancelOrder(grpc::CallbackServerContext* context,
                                        const v1::CancelOrderRequest* request,
                                        v1::CancelOrderResponse* response) override;
  grpc::ServerUnaryReactor* GetSales(grpc::CallbackServerContext* context,
                                     const v1::GetSalesRequest* request,
                                     v1::GetSalesResponse* response) override;
  grpc::ServerUnaryReactor* ListOrders(grpc::CallbackServerContext* context,
                                       const v1::ListOrdersRequest* request,
                                       v1::ListOrdersResponse* response) override;
  grpc::ServerWriteReactor<grpc::ByteBuffer>* WatchOrders(grpc::CallbackServerContext* context,
                                                          const grpc::ByteBuffer* request) override;
  grpc::ServerReadReactor<v1::ImportOrdersRequest>* ImportOrders(
      grpc::CallbackServerContext* context, v1::ImportOrdersResponse* response) override;
  grpc::ServerBidiReactor<v1::TrackOrdersRequest, v1::TrackOrdersResponse>* TrackOrders(
      grpc::CallbackServerContext* context) override;

 private:
  OrderStore& store_;
  OrderPlacer& placer_;
  EventFeed& feed_;
  const Sales& sales_;
  rpc::BlockingPool& pool_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_ORDERS_SERVICE_H_
