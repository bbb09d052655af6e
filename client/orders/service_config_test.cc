// client/service_config.json, as far as it tells of orders and inventory.
#include "client/service_config.h"

#include <chrono>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client/connection.h"
#include "client/orders/testing/fake_shop.h"
#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "inventory/v1/inventory.pb.h"
#include "orders/v1/orders.grpc.pb.h"

namespace client {
namespace {

using google::protobuf::FileDescriptor;
using google::protobuf::Struct;
using orders::v1::OrdersService;

Struct Parsed() {
  Struct config;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(ServiceConfig(), &config).ok());
  return config;
}

// "service/method", or "service/" for all of them, whose calls are retried.
std::set<std::string> Retried() {
  std::set<std::string> names;
  const Struct config = Parsed();
  for (const auto& entry : config.fields().at("methodConfig").list_value().values()) {
    const auto& fields = entry.struct_value().fields();
    if (!fields.contains("retryPolicy")) continue;
    for (const auto& name : fields.at("name").list_value().values()) {
      const auto& parts = name.struct_value().fields();
      names.insert(parts.at("service").string_value() + "/" +
                   (parts.contains("method") ? parts.at("method").string_value() : ""));
    }
  }
  return names;
}

TEST(ServiceConfigTest, RetriesEveryUnaryMethodAndNoStream) {
  const std::set<std::string> retried = Retried();
  for (const FileDescriptor* file :
       {orders::v1::Order::descriptor()->file(), inventory::v1::Stock::descriptor()->file()}) {
    for (int s = 0; s < file->service_count(); ++s) {
      for (int m = 0; m < file->service(s)->method_count(); ++m) {
        const auto* method = file->service(s)->method(m);
        const std::string service(method->service()->full_name());
        const bool is_retried = retried.contains(service + "/" + std::string(method->name())) ||
                                retried.contains(service + "/");
        EXPECT_EQ(is_retried, !method->client_streaming() && !method->server_streaming())
            << method->DebugString();
      }
    }
  }
}

// Calls a service that answers as it is told.
class ThrottlingTest : public testing::Test {
 protected:
  ThrottlingTest() : connection_(*Connection::Create(shop_.address(), {.timeout = kLimit})) {}

  void Answer(int calls, grpc::StatusCode code) {
    for (int i = 0; i < calls; ++i) {
      shop_.orders.get.Then([code](const orders::v1::GetOrderRequest&, orders::v1::Order&) {
        return grpc::Status(code, "scripted");
      });
    }
  }

  absl::StatusCode Call() {
    return connection_
        .Call<OrdersService>(&OrdersService::StubInterface::GetOrder, orders::v1::GetOrderRequest())
        .status()
        .code();
  }

  // Only how long a broken test takes to fail.
  static constexpr std::chrono::milliseconds kLimit{60000};

  FakeShop shop_;
  const Connection connection_;
};

TEST_F(ThrottlingTest, ManyFailuresPauseRetriesUntilCallsSucceed) {
  // Fifty failures: ten calls at once, of five tries each.
  Answer(50, grpc::StatusCode::UNAVAILABLE);
  std::vector<std::future<absl::StatusCode>> calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(std::async(std::launch::async, [this] { return Call(); }));
  }
  for (auto& call : calls) EXPECT_EQ(call.get(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(shop_.orders.get.calls(), 50u);

  Answer(1, grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Call(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(shop_.orders.get.calls(), 51u);  // Not tried again.

  // Ten successes make up for a failure: for the last two, and for the next.
  Answer(30, grpc::StatusCode::OK);
  for (int i = 0; i < 30; ++i) EXPECT_EQ(Call(), absl::StatusCode::kOk);
  Answer(1, grpc::StatusCode::UNAVAILABLE);
  Answer(1, grpc::StatusCode::OK);
  EXPECT_EQ(Call(), absl::StatusCode::kOk);
}

}  // namespace
}  // namespace client
