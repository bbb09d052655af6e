#include "client/connection.h"

#include <chrono>
#include <memory>
#include <string>

#include "admin/v1/admin.grpc.pb.h"
#include "client/testing/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using admin::v1::AdminService;
using admin::v1::GetStateRequest;
using admin::v1::State;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// One call through a connection to `target`.
absl::Status CallOnce(const std::string& target, milliseconds timeout = seconds(60),
                      int times = 1) {
  ClientOptions options;
  options.timeout = timeout;
  const auto connection = Connection::Create(target, options);
  if (!connection.ok()) return connection.status();
  const auto stub = AdminService::NewStub(connection->channel());
  absl::Status status;
  for (int i = 0; i < times && status.ok(); ++i) {
    status = connection
                 ->Call<AdminService::StubInterface>(*stub, &AdminService::StubInterface::GetState,
                                                     GetStateRequest())
                 .status();
  }
  return status;
}

void AnswerCalls(FakeServer& server, int times) {
  for (int i = 0; i < times; ++i) {
    server.admin.get_state.Then([](State&) { return grpc::Status::OK; });
  }
}

TEST(ConnectionTest, LeavesAnUnhealthyServerForAHealthyOne) {
  FakeServer leaving(FakeServer::Health::kServed);
  FakeServer staying(FakeServer::Health::kServed);
  leaving.SetServing(false);
  AnswerCalls(staying, 20);
  const absl::Status status =
      CallOnce("ipv4:" + leaving.address() + "," + staying.address(), seconds(60), 20);
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(staying.admin.get_state.calls(), 20u);
  EXPECT_EQ(leaving.admin.get_state.calls(), 0u);
}

TEST(ConnectionTest, AServerWithoutHealthServiceCountsAsHealthy) {
  FakeServer server(FakeServer::Health::kNone);
  AnswerCalls(server, 1);
  EXPECT_TRUE(CallOnce(server.address()).ok());
}

TEST(ConnectionTest, NoServerIsUnavailableWithItsAddress) {
  // Nobody listens at port 1.
  const absl::Status status = CallOnce("127.0.0.1:1", milliseconds(50));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("127.0.0.1:1"));
}

TEST(ConnectionTest, ALateAnswerIsDeadlineExceeded) {
  FakeServer server;
  std::stop_source released;
  server.admin.get_state.Then([&released](State&) {
    AwaitStop(released.get_token());
    return grpc::Status::OK;
  });
  EXPECT_TRUE(absl::IsDeadlineExceeded(CallOnce(server.address(), milliseconds(500))));
  released.request_stop();
}

TEST(ConnectionTest, InvalidOptionsAreRejected) {
  EXPECT_TRUE(absl::IsInvalidArgument(Connection::Create("", {}).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(Connection::Create("localhost:1", {.timeout = seconds(0)}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Connection::Create("localhost:1", {.keepalive = seconds(-1)}).status()));
}

}  // namespace
}  // namespace client
