#include "client/connection.h"

#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/match.h"
#include "admin/v1/admin.grpc.pb.h"
#include "client/testing/development_ca.h"
#include "client/testing/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/eventually.h"
#include "tests/common/reserved_port.h"
#include "tests/common/temp_dir.h"

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
  absl::Status status;
  for (int i = 0; i < times && status.ok(); ++i) {
    status =
        connection->Call<AdminService>(&AdminService::StubInterface::GetState, GetStateRequest())
            .status();
  }
  return status;
}

void AnswerCalls(FakeServer& server, int times) {
  for (int i = 0; i < times; ++i) {
    server.admin.get_state.Then([](State&) { return grpc::Status::OK; });
  }
}

TEST(ConnectionTest, TakesTheLongestTimeoutForNone) {
  FakeServer server;
  AnswerCalls(server, 1);
  const absl::Status status = CallOnce(server.address(), milliseconds::max());
  EXPECT_TRUE(status.ok()) << status;
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
  std::stop_source released;  // Outlives the server: a handler may begin when its caller has left.
  FakeServer server;
  for (int i = 0; i < 10; ++i) {
    server.admin.get_state.Then([&released](State&) {
      AwaitStop(released.get_token());
      return grpc::Status::OK;
    });
  }
  absl::Status late;
  // On a busy machine the first limits may end before the call has left.
  for (int ms = 50; server.admin.get_state.calls() == 0 && ms < 50000; ms *= 2) {
    late = CallOnce(server.address(), milliseconds(ms));
  }
  released.request_stop();
  EXPECT_GT(server.admin.get_state.calls(), 0u);
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
}

TEST(ConnectionTest, InvalidOptionsAreRejected) {
  EXPECT_TRUE(absl::IsInvalidArgument(Connection::Create("", {}).status()));
  EXPECT_TRUE(
      absl::IsInvalidArgument(Connection::Create("localhost:1", {.timeout = seconds(0)}).status()));
  EXPECT_TRUE(absl::IsInvalidArgument(
      Connection::Create("localhost:1", {.keepalive = seconds(-1)}).status()));
  ClientOptions both;
  both.tls = *TlsFiles::Open({});
  both.credentials = grpc::InsecureChannelCredentials();
  EXPECT_TRUE(absl::IsInvalidArgument(Connection::Create("localhost:1", both).status()));
}

// One client for all tests, of servers that trust one CA after the other, at the same address.
class RenewalTest : public testing::Test {
 protected:
  RenewalTest() {
    Replace("ca.pem", old_);
    Replace("client.pem", old_);
    Replace("client.key", old_);
    ClientOptions options;
    options.timeout = seconds(60);
    options.tls = *TlsFiles::Open({.ca = files_.File("ca.pem"),
                                   .certificate = files_.File("client.pem"),
                                   .key = files_.File("client.key")},
                                  milliseconds(0));
    connection_ = *Connection::Create(port_.address(), options);
    patient_ = *Connection::Create(port_.address(), options, Connection::WithoutServer::kWait);
  }

  void Replace(const std::string& name, const DevelopmentCa& from) {
    std::ofstream(files_.File(name)) << from.Text(name);
  }

  // Ends the one before, with its connections.
  void Serve(const DevelopmentCa& ca) {
    grpc::SslServerCredentialsOptions options(
        GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY);
    options.pem_root_certs = ca.Text("ca.pem");
    options.pem_key_cert_pairs.push_back({ca.Text("server.key"), ca.Text("server.pem")});
    server_.reset();
    server_.emplace(port_.address(), grpc::SslServerCredentials(options));
    AnswerCalls(*server_, 20);
  }

  void RenewFiles() {
    for (const char* const name : {"ca.pem", "client.pem", "client.key"}) Replace(name, new_);
  }

  absl::Status Call() { return Call(*connection_); }

  static absl::Status Call(const Connection& connection) {
    return connection.Call<AdminService>(&AdminService::StubInterface::GetState, GetStateRequest())
        .status();
  }

  // A call that no server answers is not retried: the method is not in the service config.
  absl::Status CallUntilAnswered() {
    absl::Status status;
    EXPECT_TRUE(testkit::Eventually([&] { return (status = Call()).ok(); })) << status;
    return status;
  }

  const testkit::TempDir files_;
  const testkit::ReservedPort port_;
  const DevelopmentCa old_;
  const DevelopmentCa new_;
  std::optional<FakeServer> server_;
  std::optional<Connection> connection_;
  std::optional<Connection> patient_;
};

TEST_F(RenewalTest, NewConnectionsUseRenewedCertificates) {
  Serve(old_);
  EXPECT_TRUE(CallUntilAnswered().ok());
  RenewFiles();
  // The server wants the old ones, on new connections: the open one goes on.
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Call(), absl::OkStatus());
  Serve(new_);
  EXPECT_TRUE(CallUntilAnswered().ok());
}

TEST_F(RenewalTest, ACallThatWaitsUsesRenewedCertificates) {
  Serve(new_);
  auto call = std::async(std::launch::async, [this] { return Call(*patient_); });
  ASSERT_TRUE(testkit::Eventually([this] {
    return patient_->channel()->GetState(/*try_to_connect=*/false) ==
           GRPC_CHANNEL_TRANSIENT_FAILURE;
  }));
  RenewFiles();
  EXPECT_EQ(call.get(), absl::OkStatus());
}

TEST_F(RenewalTest, ACallThatWaitsInVainSaysWhy) {
  Serve(new_);
  ClientOptions options;
  options.timeout = milliseconds(100);
  options.tls = *TlsFiles::Open({.ca = files_.File("ca.pem")});
  const auto hasty = Connection::Create(port_.address(), options, Connection::WithoutServer::kWait);
  absl::Status status;
  EXPECT_TRUE(testkit::Eventually([&] {  // The first may end before the first handshake.
    status = Call(*hasty);
    return absl::StrContains(status.message(), "andshake failed");
  })) << status;
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              testing::StartsWith("no server serves at " + port_.address() + " (waited 100ms): "));
}

TEST_F(RenewalTest, NewConnectionsUseTheLastGoodCertificates) {
  Serve(old_);
  EXPECT_TRUE(CallUntilAnswered().ok());
  Replace("client.key", new_);
  Serve(old_);
  EXPECT_TRUE(CallUntilAnswered().ok());
  Replace("client.pem", new_);
  Replace("ca.pem", new_);
  Serve(new_);
  EXPECT_TRUE(CallUntilAnswered().ok());
}

}  // namespace
}  // namespace client
