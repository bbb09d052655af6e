#ifndef SERVICE_ORDERS_TESTING_ORDERS_UNDER_TEST_H_
#define SERVICE_ORDERS_TESTING_ORDERS_UNDER_TEST_H_

#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/client_context.h"
#include "grpcpp/server.h"
#include "orders/v1/orders.grpc.pb.h"
#include "service/orders/event_feed.h"
#include "service/orders/inventory_client.h"
#include "service/orders/order_placer.h"
#include "service/orders/orders_service.h"
#include "service/orders/outbox_relay.h"
#include "service/orders/sales.h"
#include "service/orders/testing/fake_inventory.h"
#include "service/orders/testing/temporary_database.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/handler_guard.h"

namespace orders {

// The whole service as callers meet it, on a port of its own, with a real database
// and an inventory that does what the test says. Orders are confirmed only by a
// relay that the test starts.
class OrdersUnderTest {
 public:
  struct Options {
    std::size_t pool_threads = 4;
    std::size_t pool_capacity = 10000;
    // Work in the pool that throws; null: ends the test.
    rpc::BlockingPool::OnFailure on_failure = nullptr;
    // Called after each order that was stored.
    std::function<void()> on_stored = nullptr;
  };
  OrdersUnderTest(const TemporaryDatabase& database, const FakeInventory& inventory);
  OrdersUnderTest(const TemporaryDatabase& database, const FakeInventory& inventory,
                  const Options& options);
  // Cancels what runs.
  ~OrdersUnderTest();

  // Each has a connection of its own.
  std::shared_ptr<grpc::Channel> NewChannel() const;
  std::unique_ptr<v1::OrdersService::Stub> NewStub() const;

  OrderStore& store() { return *store_; }
  rpc::BlockingPool& pool() { return pool_; }
  void StartRelay();
  void Drain() { goodbye_.Announce(); }

 private:
  const std::unique_ptr<OrderStore> store_;
  const std::unique_ptr<Sales> sales_;
  InventoryClient inventory_;
  EventFeed feed_;
  OutboxRelay relay_;
  rpc::BlockingPool pool_;
  OrderPlacer placer_;
  OrdersService service_;
  rpc::GoodbyeSignal goodbye_;
  rpc::HandlerGuard guard_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::jthread feed_runs_;
  std::jthread relay_runs_;
};

// Keeps one thread of a pool busy.
class Busy {
 public:
  explicit Busy(rpc::BlockingPool& pool);
  ~Busy() { End(); }
  void End();

 private:
  std::promise<void> begun_;
  std::optional<std::promise<void>> ends_{std::in_place};
};

// No call of a test is without end.
class CallContext : public grpc::ClientContext {
 public:
  CallContext();
};

absl::StatusOr<v1::Order> Place(v1::OrdersService::Stub& stub,
                                const v1::PlaceOrderRequest& request);
absl::StatusOr<v1::Order> Get(v1::OrdersService::Stub& stub, const std::string& order_id);
absl::StatusOr<v1::Order> Cancel(v1::OrdersService::Stub& stub, const std::string& order_id);
absl::StatusOr<v1::ListOrdersResponse> List(v1::OrdersService::Stub& stub, int page_size = 0,
                                            const std::string& page_token = "");

// One WatchOrders call.
class Watch {
 public:
  Watch(v1::OrdersService::Stub& stub, const std::string& resume_token);

  using Event = v1::WatchOrdersResponse::Event;

  // The next message, whole. Unset: the watch has ended.
  // Requires: no event of the one before is left.
  std::optional<v1::WatchOrdersResponse> NextMessage();
  // The next event; first one without an order, which says that the watch has begun. Unset: it has
  // ended.
  std::optional<Event> Next();
  // The request_ids of the orders that come next.
  std::vector<std::string> Next(int count);
  void Cancel() { context_.TryCancel(); }
  // Reads to its end, and tells how it ended.
  absl::Status End();

  // Of the last event that came.
  const std::string& resume_token() const { return resume_token_; }

 private:
  CallContext context_;
  std::unique_ptr<grpc::ClientReader<v1::WatchOrdersResponse>> stream_;
  std::deque<Event> come_;  // And not taken yet.
  std::string resume_token_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_TESTING_ORDERS_UNDER_TEST_H_
