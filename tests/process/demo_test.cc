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

// A call that is in flight from its construction on; every call must have ended when it is destroyed.
struct Call {
  Call(demo::Demo::Stub& stub, std::uint32_t ms) {
    context.set_deadline(std::chrono::system_clock::now() + kLimit);
    request.set_ms(ms);
    stub.async()->Wait(&context, &request, &reply,
                       [this](const grpc::Status& status) { ended.set_value(status); });
  }

  grpc::ClientContext context;
  demo::WaitRequest request;
  demo::WaitReply reply;
  std::promise<grpc::Status> ended;
  std::future<grpc::Status> status = ended.get_future();
};

TEST(DemoTest, ACallIsAnsweredAndCounted) {
  const auto server =
      testkit::ServerProcess::Start({.binary = "tests/process/demo_server", .flags = kAllTheTime});
  ASSERT_TRUE(server.ok()) << server.status();
  testkit::ChildProcess& process = (*server)->process();
  const auto stub = demo::Demo::NewStub(rpc::NewConnection((*server)->address()));
  EXPECT_TRUE(Call(*stub, 0).status.get().ok());
  Call call(*stub, 3000);
  EXPECT_TRUE(Call(*stub, 0).status.get().ok());  // The one before it has come.
  process.Signal(SIGTERM);
  EXPECT_TRUE(process.AwaitOutput(" GoodbyeSaid", kLimit)) << process.Output();
  EXPECT_EQ(call.status.wait_for(std::chrono::seconds(0)), std::future_status::timeout)
      << "too soon to show anything";
  const grpc::Status status = call.status.get();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(process.Wait(kLimit), testkit::Ending::Exited(0));
  EXPECT_THAT(process.Output(), ::testing::HasSubstr("grpc.examples.demo.Demo/Wait"));
}

}  // namespace
}  // namespace process_test
