#ifndef SERVICE_ORDERS_PROCESS_SERVERS_UNDER_TEST_H_
#define SERVICE_ORDERS_PROCESS_SERVERS_UNDER_TEST_H_

#include <signal.h>

#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "orders/v1/orders.grpc.pb.h"
#include "tests/common/child_process.h"
#include "tests/common/order_rules.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"

namespace orders {

// Only how long a broken test takes to fail.
inline constexpr std::chrono::seconds kLimit{40};

// What the orders server closes.
inline const testkit::Uses kUses = {{"store pool", "database"},
                                    {"store pool", "inventory channel"}};

inline std::vector<std::string> With(std::vector<std::string> flags,
                                     const std::vector<std::string>& more) {
  flags.insert(flags.end(), more.begin(), more.end());
  return flags;
}

inline v1::PlaceOrderRequest AnOrder(const std::string& request_id) {
  v1::PlaceOrderRequest request;
  request.set_request_id(request_id);
  request.set_customer("ann");
  v1::OrderItem& item = *request.add_items();
  item.set_sku("apple");
  item.set_quantity(1);
  return request;
}

// An order that is being placed from the moment the call is made.
class OrderCall {
 public:
  OrderCall(v1::OrdersService::Stub& stub, const std::string& request_id)
      : request_(AnOrder(request_id)) {
    context_.set_deadline(std::chrono::system_clock::now() + kLimit);
    stub.async()->PlaceOrder(&context_, &request_, &response_,
                             [this](grpc::Status status) { status_.set_value(status); });
  }
  // Waits for the answer.
  ~OrderCall() { answer_.wait(); }
  OrderCall(const OrderCall&) = delete;
  OrderCall& operator=(const OrderCall&) = delete;

  // Waits for the answer.
  grpc::Status Status() { return answer_.get(); }

 private:
  grpc::ClientContext context_;
  v1::PlaceOrderRequest request_;
  v1::PlaceOrderResponse response_;
  std::promise<grpc::Status> status_;
  std::shared_future<grpc::Status> answer_ = status_.get_future().share();
};

// The real orders server over the real inventory, each a process of its own.
class ServersUnderTest : public ::testing::Test {
 protected:
  void StartInventory(const std::vector<std::string>& flags = {},
                      const std::string& address = "127.0.0.1:0") {
    auto server = testkit::ServerProcess::Start(
        {.binary = "service/inventory/inventory",
         .flags = With({"--database=" + directory_.File("inventory.sqlite3")}, flags),
         .address = address});
    ASSERT_TRUE(server.ok()) << server.status();
    inventory_ = *std::move(server);
  }

  // `inventory`: where it looks for one. `flags` come after testkit::kAllTheTime. `under`: as
  // ServerProcess has it, and `address`.
  void StartOrders(const std::string& inventory, const std::vector<std::string>& flags = {},
                   const std::vector<std::string>& under = {},
                   const std::string& address = "127.0.0.1:0") {
    auto server = testkit::ServerProcess::Start(
        {.binary = "service/orders_server",
         .flags = With({"--database=" + OrdersDatabase(), "--inventory=" + inventory},
                       With(testkit::kAllTheTime, flags)),
         .address = address,
         .under = under});
    ASSERT_TRUE(server.ok()) << server.status();
    orders_ = *std::move(server);
    stub_ = v1::OrdersService::NewStub(
        grpc::CreateChannel(orders_->address(), grpc::InsecureChannelCredentials()));
  }

  void Start() {
    ASSERT_NO_FATAL_FAILURE(StartInventory());
    ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
  }

  // The orders server over the inventory, with HTTP for operators. `http`: receives where.
  void StartOrdersWithHttp(std::string& http) {
    const std::string port_file = directory_.File("http");
    ASSERT_NO_FATAL_FAILURE(
        StartOrders(inventory_->address(),
                    {"--admin_http_address=127.0.0.1:0", "--admin_http_port_file=" + port_file}));
    std::ifstream(port_file) >> http;
  }

  virtual std::string OrdersDatabase() const { return directory_.File("orders.sqlite3"); }
  testkit::ChildProcess& orders() { return orders_->process(); }

  grpc::Status Place(const std::string& request_id) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLimit);
    context.set_wait_for_ready(true);
    v1::PlaceOrderResponse response;
    return stub_->PlaceOrder(&context, AnOrder(request_id), &response);
  }

  // Eight orders that the server has accepted: an answer to a later call, which came
  // on the same connection, is here already.
  std::vector<std::unique_ptr<OrderCall>> EightAcceptedOrders() {
    StoredOrders();  // The connection stands.
    std::vector<std::unique_ptr<OrderCall>> calls;
    for (int i = 0; i < 8; ++i) {
      calls.push_back(std::make_unique<OrderCall>(*stub_, "slow-" + std::to_string(i)));
    }
    StoredOrders();
    return calls;
  }

  // Oldest first.
  std::vector<v1::Order> StoredOrders() {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLimit);
    context.set_wait_for_ready(true);
    v1::ListOrdersRequest request;
    request.set_page_size(1000);
    v1::ListOrdersResponse response;
    const grpc::Status status = stub_->ListOrders(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return {response.orders().begin(), response.orders().end()};
  }

  std::vector<std::string> StoredRequestIds() {
    std::vector<std::string> ids;
    for (const v1::Order& order : StoredOrders()) ids.push_back(order.request_id());
    return ids;
  }

  // Waits for the end of a shutdown.
  testkit::Ending AwaitEnd() { return testkit::AwaitShutdown(orders(), kLimit, kUses); }

  // Sends SIGTERM and waits for the end.
  testkit::Ending Stop() {
    orders().Signal(SIGTERM);
    return AwaitEnd();
  }

  // In memory, as TemporaryDatabase has it: tests commit often, and a busy disk takes its time for
  // each.
  const testkit::TempDir directory_{"/dev/shm"};
  std::unique_ptr<testkit::ServerProcess> inventory_;
  std::unique_ptr<testkit::ServerProcess> orders_;
  std::unique_ptr<v1::OrdersService::Stub> stub_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_PROCESS_SERVERS_UNDER_TEST_H_
