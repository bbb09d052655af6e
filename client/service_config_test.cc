#include "client/service_config.h"

#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using google::protobuf::Struct;

Struct Parsed() {
  Struct config;
  EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(ServiceConfig(), &config).ok());
  return config;
}

TEST(ServiceConfigTest, PrefersHealthyServers) {
  const Struct config = Parsed();
  EXPECT_TRUE(config.fields()
                  .at("loadBalancingConfig")
                  .list_value()
                  .values(0)
                  .struct_value()
                  .fields()
                  .contains("round_robin"));
  EXPECT_TRUE(config.fields().contains("healthCheckConfig"));
}

}  // namespace
}  // namespace client
