#include "service/orders/testing/orders_under_test.h"

#include <chrono>
#include <cstdlib>
#include <utility>

#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server_builder.h"
#include "grpcpp/support/channel_arguments.h"
#include "service/rpc/status.h"
#include "tests/common/eventually.h"

namespace orders {

OrdersUnderTest::OrdersUnderTest(const TemporaryDatabase& database, const FakeInventory& inventory)
    : OrdersUnderTest(database, inventory, Options()) {}

OrdersUnderTest::OrdersUnderTest(const TemporaryDatabase& database, const FakeInventory& inventory,
                                 const Options& options)
    : store_(database.Open()),
      sales_(*Sales::Load(*store_, Soon())),
      inventory_(inventory.address()),
      feed_(*store_, *sales_),
      relay_(*store_, inventory_),
      pool_(options.pool_threads, options.pool_capacity, options.on_failure),
      placer_(*store_, inventory_, pool_,
              {.on_stored =
                   [this, also = options.on_stored] {
                     relay_.Wake();
                     if (also) also();
                   },
               .pushing_back = [this] { return relay_.Status().pushing_back; }}),
      service_(*store_, placer_, feed_, *sales_, pool_),
      guard_([] { return false; }, [](const std::string&) {}, {}, {}, &goodbye_) {
  EXPECT_TRUE(feed_.CatchUp().ok());
  guard_.Install(service_);
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service_);
  server_ = builder.BuildAndStart();
  if (server_ == nullptr) std::abort();
  address_ = "127.0.0.1:" + std::to_string(port);
  feed_runs_ = std::jthread([this](std::stop_token stop) { feed_.Run(stop); });
}

OrdersUnderTest::~OrdersUnderTest() {
  server_->Shutdown(std::chrono::system_clock::now());
  server_ = nullptr;
}

std::shared_ptr<grpc::Channel> OrdersUnderTest::NewChannel() const {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(address_, grpc::InsecureChannelCredentials(), arguments);
}

std::unique_ptr<v1::OrdersService::Stub> OrdersUnderTest::NewStub() const {
  return v1::OrdersService::NewStub(NewChannel());
}

void OrdersUnderTest::StartRelay() {
  relay_runs_ = std::jthread([this](std::stop_token stop) { relay_.Run(stop); });
}

Busy::Busy(rpc::BlockingPool& pool) {
  EXPECT_TRUE(pool.Run([this, ends = ends_->get_future().share()] {
    begun_.set_value();
    ends.wait();
  }));
  begun_.get_future().wait();
}

void Busy::End() {
  if (ends_) ends_->set_value();
  ends_.reset();
}

CallContext::CallContext() { set_deadline(std::chrono::system_clock::now() + testkit::kLong); }

absl::StatusOr<v1::Order> Place(v1::OrdersService::Stub& stub,
                                const v1::PlaceOrderRequest& request) {
  CallContext context;
  v1::PlaceOrderResponse response;
  const grpc::Status status = stub.PlaceOrder(&context, request, &response);
  if (!status.ok()) return rpc::FromGrpc(status);
  return response.order();
}

absl::StatusOr<v1::Order> Get(v1::OrdersService::Stub& stub, const std::string& order_id) {
  CallContext context;
  v1::GetOrderRequest request;
  request.set_order_id(order_id);
  v1::GetOrderResponse response;
  const grpc::Status status = stub.GetOrder(&context, request, &response);
  if (!status.ok()) return rpc::FromGrpc(status);
  return response.order();
}

absl::StatusOr<v1::Order> Cancel(v1::OrdersService::Stub& stub, const std::string& order_id) {
  CallContext context;
  v1::CancelOrderRequest request;
  request.set_order_id(order_id);
  v1::CancelOrderResponse response;
  const grpc::Status status = stub.CancelOrder(&context, request, &response);
  if (!status.ok()) return rpc::FromGrpc(status);
  return response.order();
}

absl::StatusOr<v1::ListOrdersResponse> List(v1::OrdersService::Stub& stub, int page_size,
                                            const std::string& page_token) {
  CallContext context;
  v1::ListOrdersRequest request;
  request.set_page_size(page_size);
  request.set_page_token(page_token);
  v1::ListOrdersResponse response;
  const grpc::Status status = stub.ListOrders(&context, request, &response);
  if (!status.ok()) return rpc::FromGrpc(status);
  return response;
}

Watch::Watch(v1::OrdersService::Stub& stub, const std::string& resume_token) {
  v1::WatchOrdersRequest request;
  request.set_resume_token(resume_token);
  stream_ = stub.WatchOrders(&context_, request);
}

std::optional<v1::WatchOrdersResponse> Watch::NextMessage() {
  v1::WatchOrdersResponse response;
  if (!stream_->Read(&response)) return std::nullopt;
  return response;
}

std::optional<Watch::Event> Watch::Next() {
  if (come_.empty()) {
    const auto message = NextMessage();
    if (!message) return std::nullopt;
    if (!message->resume_token().empty()) {
      come_.emplace_back().set_resume_token(message->resume_token());
    }
    come_.insert(come_.end(), message->events().begin(), message->events().end());
  }
  Event event = std::move(come_.front());
  come_.pop_front();
  resume_token_ = event.resume_token();
  return event;
}

std::vector<std::string> Watch::Next(int count) {
  std::vector<std::string> ids;
  while (count-- > 0) {
    const auto response = Next();
    if (!response) break;
    ids.push_back(response->order().request_id());
  }
  return ids;
}

absl::Status Watch::End() {
  while (Next()) continue;
  return rpc::FromGrpc(stream_->Finish());
}

}  // namespace orders
