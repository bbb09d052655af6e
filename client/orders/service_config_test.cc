// client/service_config.json, as far as it tells of orders and inventory.
#include "client/service_config.h"

#include <set>
#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/descriptor.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "inventory/v1/inventory.pb.h"
#include "orders/v1/orders.pb.h"

namespace client {
namespace {

using google::protobuf::FileDescriptor;
using google::protobuf::Struct;

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

}  // namespace
}  // namespace client
