#ifndef CLIENT_FAKE_SERVICES_H_
#define CLIENT_FAKE_SERVICES_H_

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "admin/v1/admin.grpc.pb.h"
#include "grpcpp/server.h"
#include "inventory/v1/inventory.grpc.pb.h"
#include "orders/v1/orders.grpc.pb.h"

namespace client {

// What a method does at its first call, at its second, and so on. A call for which
// nothing is left fails for good, which ends the client under test.
//
// Threads: Then() before the server is called; the rest on any.
template <class... Arguments>
class Script {
 public:
  using Step = std::function<grpc::Status(Arguments...)>;

  Script& Then(Step step) {
    const std::lock_guard lock(mutex_);
    steps_.push_back(std::move(step));
    return *this;
  }

  grpc::Status Play(Arguments... arguments) {
    Step step;
    {
      const std::lock_guard lock(mutex_);
      if (calls_ == steps_.size()) {
        return grpc::Status(grpc::StatusCode::INTERNAL, "the script has ended");
      }
      step = steps_[calls_++];
    }
    return step(arguments...);
  }

  std::size_t calls() const {
    const std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Step> steps_;  // Guarded by mutex_.
  std::size_t calls_ = 0;    // Guarded by mutex_.
};

// A values' list that handlers write and tests read.
template <class Value>
class Recorded {
 public:
  void Add(Value value) {
    const std::lock_guard lock(mutex_);
    values_.push_back(std::move(value));
  }

  std::vector<Value> all() const {
    const std::lock_guard lock(mutex_);
    return values_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Value> values_;  // Guarded by mutex_.
};

// An OrdersService that does what the test wrote down.
class FakeOrders final : public orders::v1::OrdersService::Service {
 public:
  using Watch = grpc::ServerWriter<orders::v1::WatchOrdersResponse>;
  using Import = grpc::ServerReader<orders::v1::ImportOrdersRequest>;
  using Track =
      grpc::ServerReaderWriter<orders::v1::TrackOrdersResponse, orders::v1::TrackOrdersRequest>;

  Script<const orders::v1::PlaceOrderRequest&, orders::v1::Order&> place;
  Script<const orders::v1::GetOrderRequest&, orders::v1::Order&> get;
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

class FakeInventory final : public inventory::v1::InventoryService::Service {
 public:
  Script<const inventory::v1::GetStockRequest&, inventory::v1::GetStockResponse&> get_stock;

  grpc::Status GetStock(grpc::ServerContext*, const inventory::v1::GetStockRequest* request,
                        inventory::v1::GetStockResponse* response) override {
    return get_stock.Play(*request, *response);
  }
};

class FakeAdmin final : public admin::v1::AdminService::Service {
 public:
  using States = grpc::ServerWriter<admin::v1::DrainResponse>;

  Script<States&> drain;
  Script<admin::v1::State&> undrain;
  Script<admin::v1::State&> get_state;

  grpc::Status Drain(grpc::ServerContext*, const admin::v1::DrainRequest*,
                     States* writer) override {
    return drain.Play(*writer);
  }
  grpc::Status Undrain(grpc::ServerContext*, const admin::v1::UndrainRequest*,
                       admin::v1::UndrainResponse* response) override {
    return undrain.Play(*response->mutable_state());
  }
  grpc::Status GetState(grpc::ServerContext*, const admin::v1::GetStateRequest*,
                        admin::v1::GetStateResponse* response) override {
    return get_state.Play(*response->mutable_state());
  }
};

// All services on a free port of this machine, until destroyed.
class FakeServer {
 public:
  enum class Health { kNone, kServed };

  explicit FakeServer(Health health = Health::kNone);
  ~FakeServer();

  // "127.0.0.1:12345"
  const std::string& address() const { return address_; }

  // What health checks of the whole server are answered; at first, SERVING.
  // Requires: Health::kServed.
  void SetServing(bool serving);

  FakeOrders orders;
  FakeInventory inventory;
  FakeAdmin admin;

 private:
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

// Blocks a handler until the test requests a stop.
void AwaitStop(std::stop_token stop);

// How a stream ends in a drain.
grpc::Status Goodbye(const std::string& key, const std::string& value, int retry_seconds);

// A status with an ErrorInfo of domain "orders.v1".
grpc::Status Refusal(grpc::StatusCode code, const std::string& message, const std::string& reason,
                     const std::map<std::string, std::string>& metadata = {});

// INVALID_ARGUMENT with a BadRequest: field -> description.
grpc::Status BadRequest(const std::vector<std::pair<std::string, std::string>>& violations);

orders::v1::Order MakeOrder(const std::string& order_id, orders::v1::OrderState state);

}  // namespace client

#endif  // CLIENT_FAKE_SERVICES_H_
