#ifndef CLIENT_ORDERS_TESTING_FAKE_SHOP_H_
#define CLIENT_ORDERS_TESTING_FAKE_SHOP_H_

#include <string>

#include "client/testing/fake_server.h"
#include "grpcpp/server.h"
#include "inventory/v1/inventory.grpc.pb.h"
#include "orders/v1/orders.grpc.pb.h"

namespace client {

// An OrdersService that does what the test wrote down.
class FakeOrders final : public orders::v1::OrdersService::Service {
 public:
  using Watch = grpc::ServerWriter<orders::v1::WatchOrdersResponse>;
  using Import = grpc::ServerReader<orders::v1::ImportOrdersRequest>;
  using Track =
      grpc::ServerReaderWriter<orders::v1::TrackOrdersResponse, orders::v1::TrackOrdersRequest>;

  Script<const orders::v1::PlaceOrderRequest&, orders::v1::Order&> place;
  Script<const orders::v1::GetOrderRequest&, orders::v1::Order&> get;
  Script<const orders::v1::CancelOrderRequest&, orders::v1::Order&> cancel;
  Script<orders::v1::GetSalesResponse&> sales;
  Script<const orders::v1::ListOrdersRequest&, orders::v1::ListOrdersResponse&> list;
  Script<const orders::v1::WatchOrdersRequest&, Watch&> watch;
  Script<Import&, orders::v1::ImportOrdersResponse&> import;
  Script<Track&> track;

  grpc::Status PlaceOrder(grpc::ServerContext*, const orders::v1::PlaceOrderRequest* request,
                          orders::v1::PlaceOrderResponse* response) override {
    return place.Play(*request, *response->mutable_order());
  }
  grpc::Status GetOrder(grpc::ServerContext*, const orders::v1::GetOrderRequest* request,
                        orders::v1::GetOrderResponse* response) override {
    return get.Play(*request, *response->mutable_order());
  }
  grpc::Status CancelOrder(grpc::ServerContext*, const orders::v1::CancelOrderRequest* request,
                           orders::v1::CancelOrderResponse* response) override {
    return cancel.Play(*request, *response->mutable_order());
  }
  grpc::Status GetSales(grpc::ServerContext*, const orders::v1::GetSalesRequest*,
                        orders::v1::GetSalesResponse* response) override {
    return sales.Play(*response);
  }
  grpc::Status ListOrders(grpc::ServerContext*, const orders::v1::ListOrdersRequest* request,
                          orders::v1::ListOrdersResponse* response) override {
    return list.Play(*request, *response);
  }
  grpc::Status WatchOrders(grpc::ServerContext*, const orders::v1::WatchOrdersRequest* request,
                           Watch* writer) override {
    return watch.Play(*request, *writer);
  }
  grpc::Status ImportOrders(grpc::ServerContext*, Import* reader,
                            orders::v1::ImportOrdersResponse* response) override {
    return import.Play(*reader, *response);
  }
  grpc::Status TrackOrders(grpc::ServerContext*, Track* stream) override {
    return track.Play(*stream);
  }
};

// An InventoryService that does what the test wrote down.
class FakeInventory final : public inventory::v1::InventoryService::Service {
 public:
  Script<const inventory::v1::GetStockRequest&, inventory::v1::GetStockResponse&> get_stock;

  grpc::Status GetStock(grpc::ServerContext*, const inventory::v1::GetStockRequest* request,
                        inventory::v1::GetStockResponse* response) override {
    return get_stock.Play(*request, *response);
  }
};

// Both on one server.
class FakeShop {
 public:
  // "127.0.0.1:12345"
  const std::string& address() const { return server_.address(); }

  FakeOrders orders;
  FakeInventory inventory;

 private:
  FakeServer server_{FakeServer::Health::kNone, {&orders, &inventory}};
};

orders::v1::Order MakeOrder(const std::string& order_id, orders::v1::OrderState state);

// Sends the events `from` to `to`, two in a message where there are two. Event n has the token "n", and
// its order is called that, behind `prefix`.
void SendEvents(FakeOrders::Watch& writer, int from, int to, const std::string& prefix = "");

}  // namespace client

#endif  // CLIENT_ORDERS_TESTING_FAKE_SHOP_H_
