// Both servers keep what bench.proto promises; a comparison of two that do not
// serve the same would say nothing.
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/order_rules.h"
#include "tests/common/server_process.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace bench {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{30};

bool IsBare(const std::string& server) { return server.find("bare") != std::string::npos; }

class ContractTest : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    auto server = testkit::ServerProcess::Start({.binary = GetParam()});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    stub_ =
        Bench::NewStub(grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials()));
    context_.set_wait_for_ready(true);
    context_.set_deadline(std::chrono::system_clock::now() + kLimit);
  }

  std::unique_ptr<testkit::ServerProcess> server_;
  std::unique_ptr<Bench::Stub> stub_;
  grpc::ClientContext context_;
};

TEST_P(ContractTest, EchoAnswersWithThePayload) {
  EchoRequest request;
  request.set_payload(std::string("\0binary\xff", 8));
  EchoReply reply;
  const grpc::Status status = stub_->Echo(&context_, request, &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(reply.payload(), request.payload());
}

TEST_P(ContractTest, EchoAnswersNoSoonerThanItIsTold) {
  EchoRequest request;
  request.set_sleep_ms(50);
  EchoReply reply;
  const Clock::time_point start = Clock::now();
  const grpc::Status status = stub_->Echo(&context_, request, &reply);
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_GE(Clock::now() - start, milliseconds(50));
}

TEST_P(ContractTest, EchoToldToHangDoesNotAnswer) {
  EchoRequest request;
  request.set_sleep_ms(std::numeric_limits<std::uint32_t>::max());
  EchoReply reply;
  context_.set_deadline(std::chrono::system_clock::now() + milliseconds(100));
  EXPECT_EQ(stub_->Echo(&context_, request, &reply).error_code(),
            grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_P(ContractTest, WatchCountsFromOneCarryingThePayload) {
  WatchRequest request;
  request.set_payload("payload");
  const auto stream = stub_->Watch(&context_, request);
  Event event;
  for (std::uint64_t seq = 1; seq <= 10'000; ++seq) {
    ASSERT_TRUE(stream->Read(&event)) << stream->Finish().error_message();
    ASSERT_EQ(event.seq(), seq);
    ASSERT_EQ(event.payload(), "payload");
  }
  context_.TryCancel();
}

TEST_P(ContractTest, WatchPausesBetweenEvents) {
  WatchRequest request;
  request.set_interval_ms(10);
  const auto stream = stub_->Watch(&context_, request);
  Event event;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(stream->Read(&event));
  EXPECT_GE(Clock::now() - start, milliseconds(50));
  EXPECT_EQ(event.seq(), 6U);
  context_.TryCancel();
}

TEST_P(ContractTest, ChatEchoesUntilItsCallerEnds) {
  const auto stream = stub_->Chat(&context_);
  for (std::uint64_t seq = 1; seq <= 100; ++seq) {
    ChatMessage message;
    message.set_seq(seq);
    message.set_payload("payload");
    ASSERT_TRUE(stream->Write(message));
    ChatMessage answer;
    ASSERT_TRUE(stream->Read(&answer));
    ASSERT_EQ(answer.seq(), seq);
    ASSERT_EQ(answer.payload(), "payload");
  }
  stream->WritesDone();
  ChatMessage none;
  EXPECT_FALSE(stream->Read(&none));
  const grpc::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
}

TEST_P(ContractTest, TheServerEndsWellWhenTold) {
  testkit::ChildProcess& process = server_->process();
  process.Signal(SIGTERM);
  const testkit::Ending ending = process.Wait(kLimit);
  EXPECT_EQ(ending, testkit::Ending::Exited(0)) << process.Output();
  if (IsBare(GetParam())) return;  // It tells nothing.
  EXPECT_THAT(process.Output(), testkit::KeepsTheOrderOfAShutdown(ending));
}

INSTANTIATE_TEST_SUITE_P(Servers, ContractTest,
                         ::testing::Values("tests/bench/bare_server",
                                           "tests/servers/echo/echo_server"),
                         [](const auto& info) { return IsBare(info.param) ? "Bare" : "Harness"; });

}  // namespace
}  // namespace bench
