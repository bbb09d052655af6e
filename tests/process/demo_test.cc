// A user's service in a package below grpc: it is none of gRPC's own, which hold up no shutdown.
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>

#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "tests/common/child_process.h"
#include "tests/common/server_process.h"
#include "tests/process/demo.grpc.pb.h"
#include "tests/process/server_under_test.h"

namespace process_test {
namespace {

namespace demo = grpc::examples::demo;

constexpr std::chrono::seconds kLimit{40};

grpc::Status Wait(demo::Demo::Stub& stub, std::chrono::milliseconds time) {
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + kLimit);
  demo::WaitRequest request;
  request.set_ms(static_cast<std::uint32_t>(time.count()));
  demo::WaitReply reply;
  return stub.Wait(&context, request, &reply);
}

TEST(DemoTest, ACallIsAnsweredAndCounted) {
  const auto server =
      testkit::ServerProcess::Start({.binary = "tests/process/demo_server", .flags = kAllTheTime});
  ASSERT_TRUE(server.ok()) << server.status();
  testkit::ChildProcess& process = (*server)->process();
  const auto stub = demo::Demo::NewStub(rpc::NewConnection((*server)->address()));
  ASSERT_TRUE(Wait(*stub, {}).ok());
  auto call = std::async(std::launch::async,
                         [&stub] { return Wait(*stub, std::chrono::milliseconds(2000)); });
  ASSERT_TRUE(Wait(*stub, std::chrono::milliseconds(500)).ok());  // It is there by now.
  process.Signal(SIGTERM);
  const grpc::Status status = call.get();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(process.Wait(kLimit), testkit::Ending::Exited(0));
  EXPECT_THAT(process.Output(), ::testing::HasSubstr("grpc.examples.demo.Demo/Wait"));
}

}  // namespace
}  // namespace process_test
