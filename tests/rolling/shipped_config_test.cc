// client/service_config.json in other languages: the same file, handed to Python's gRPC
// and to grpc-js as it is, makes them try again what C++ tries again.
#include <chrono>
#include <string>
#include <vector>

#include "client/orders/testing/fake_shop.h"
#include "gmock/gmock.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/rolling/foreign_tools.h"

namespace rolling {
namespace {

using client::FakeShop;
using grpc::StatusCode;
using orders::v1::Order;
using orders::v1::PlaceOrderRequest;
using ::testing::StartsWith;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{60};

// Set by main().
std::string node, node_modules;

class ShippedConfigTest : public ::testing::TestWithParam<std::string> {
 protected:
  // The first line that the caller writes when its first calls are answered with
  // `codes`, one after the other.
  std::string FirstLine(bool configured, const std::vector<StatusCode>& codes) {
    for (const StatusCode code : codes) {
      shop_.orders.place.Then([code](const PlaceOrderRequest&, Order& order) {
        order.set_order_id("o1");
        return grpc::Status(code, "scripted");
      });
    }
    const auto tools = ForeignTools::Find(node, node_modules);
    EXPECT_TRUE(tools.ok()) << tools.status();
    if (!tools.ok()) return "";
    testkit::ChildProcess::Environment environment = {{"DESCRIPTORS", tools->descriptors},
                                                      {"NODE_PATH", tools->node_modules},
                                                      {"GRPC_VERBOSITY", "NONE"},
                                                      {"THINK_TIME_MS", "1"}};
    if (configured) environment["SERVICE_CONFIG"] = tools->service_config;
    const std::vector<std::string> program = GetParam() == "Python"
                                                 ? std::vector{tools->python, tools->python_caller}
                                                 : std::vector{tools->node, tools->node_caller};
    testkit::ChildProcess caller({program[0], program[1], "place", shop_.address()}, environment);
    EXPECT_TRUE(caller.AwaitOutput("\n", kLimit)) << caller.Output();
    const std::string output = caller.Output();
    return output.substr(0, output.find('\n'));
  }

  FakeShop shop_;
};

TEST_P(ShippedConfigTest, WhatIsUnavailableOrCancelledIsTriedAgain) {
  EXPECT_THAT(FirstLine(true, {StatusCode::UNAVAILABLE, StatusCode::CANCELLED, StatusCode::OK}),
              StartsWith("order "));
  EXPECT_EQ(shop_.orders.place.calls(), 3u);
}

TEST_P(ShippedConfigTest, AFifthFailureIsTheCallers) {
  EXPECT_EQ(FirstLine(true, std::vector(5, StatusCode::UNAVAILABLE)),
            "failed PlaceOrder UNAVAILABLE scripted");
  EXPECT_EQ(shop_.orders.place.calls(), 5u);
}

TEST_P(ShippedConfigTest, ARefusalIsNotTriedAgain) {
  EXPECT_EQ(FirstLine(true, {StatusCode::FAILED_PRECONDITION}),
            "failed PlaceOrder FAILED_PRECONDITION scripted");
}

TEST_P(ShippedConfigTest, WithoutItTheFirstFailureIsTheCallers) {
  EXPECT_EQ(FirstLine(false, {StatusCode::UNAVAILABLE}), "failed PlaceOrder UNAVAILABLE scripted");
}

INSTANTIATE_TEST_SUITE_P(InOtherLanguages, ShippedConfigTest, ::testing::Values("Python", "Node"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace rolling

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  for (const std::string& argument : std::vector<std::string>(argv + 1, argv + argc)) {
    const std::size_t equals = argument.find('=');
    (argument.starts_with("--node=") ? rolling::node : rolling::node_modules) =
        argument.substr(equals + 1);
  }
  return RUN_ALL_TESTS();
}
