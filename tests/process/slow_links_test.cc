// A real server that is stopped while its callers are at the end of slow links: what it has
// accepted is answered, and what is given up is counted as cut.
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "client/error_details.h"
#include "gmock/gmock.h"
#include "grpc/grpc.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/security/credentials.h"
#include "grpcpp/support/channel_arguments.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "tests/common/eventually.h"
#include "tests/common/slow_link.h"
#include "tests/process/open_stream.h"
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using testkit::Ending;
using testkit::SlowLink;

constexpr int kKilobyte = 1000;
constexpr int kMegabyte = 1000 * kKilobyte;
// Of a call that arrives slowly.
constexpr int kRequest = 3900 * kKilobyte;
// More than gRPC has to say beside a message.
constexpr int kBegun = 20 * kKilobyte;

class SlowLinksTest : public ServerUnderTest {
 protected:
  void Start(const std::vector<std::string>& flags) {
    ServerUnderTest::Start("tests/servers/echo/echo_server", flags);
    // Small: what the link has not passed stays in the server's kernel.
    link_ = std::make_unique<SlowLink>(address(), SlowLink::Options{.receive_buffer = 16384});
    far_ = rpc::NewConnection(link_->address());
    far_stub_ = bench::Bench::NewStub(far_);
    EXPECT_TRUE(EchoCall(*far_stub_, 0, kLimit).Status().ok());
  }

  // With so much in its request, and in its answer.
  std::unique_ptr<EchoCall> FarCall(std::uint32_t sleep_ms, int bytes) {
    return std::make_unique<EchoCall>(*far_stub_, sleep_ms, kLimit,
                                      std::string(static_cast<std::size_t>(bytes), 'x'));
  }

  // A call whose answer has begun to pass the link at this rate: its handler is done.
  std::unique_ptr<EchoCall> CallBeingAnswered(int bytes, int bytes_per_second) {
    const std::int64_t enough = link_->sent_down() + kBegun;
    link_->SetDownRate(bytes_per_second);
    auto call = FarCall(/*sleep_ms=*/0, bytes);
    EXPECT_TRUE(testkit::Eventually([&] { return link_->sent_down() >= enough; }));
    return call;
  }

  // A call whose request has begun to arrive, and would take a minute.
  std::unique_ptr<EchoCall> ArrivingCall() {
    const std::int64_t enough = link_->sent_up() + kBegun;
    link_->SetRate(64 * kKilobyte);
    auto call = FarCall(/*sleep_ms=*/0, kRequest);
    EXPECT_TRUE(testkit::Eventually([&] { return link_->sent_up() >= enough; }));
    return call;
  }

  void ExpectAnswer(EchoCall& call, int bytes) {
    const grpc::Status status = call.Status();
    EXPECT_TRUE(status.ok()) << status.error_message() << "\n" << Output();
    EXPECT_EQ(call.Payload().size(), static_cast<std::size_t>(bytes));
  }

  std::unique_ptr<SlowLink> link_;
  std::shared_ptr<grpc::Channel> far_;
  std::unique_ptr<bench::Bench::Stub> far_stub_;
};

struct Answer {
  int bytes;
  int bytes_per_second;
};

class AnswerTest : public SlowLinksTest, public ::testing::WithParamInterface<Answer> {};

INSTANTIATE_TEST_SUITE_P(Size, AnswerTest,
                         ::testing::Values(Answer{250 * kKilobyte, 128 * kKilobyte},
                                           Answer{3900 * kKilobyte, 2 * kMegabyte}),
                         [](const auto& info) {
                           return "Of" + std::to_string(info.param.bytes / kKilobyte) + "KB";
                         });

TEST_P(AnswerTest, InTransitAtSigtermArrives) {
  Start(kAllTheTime);
  const auto call = CallBeingAnswered(GetParam().bytes, GetParam().bytes_per_second);
  process().Signal(SIGTERM);
  EchoCall another(*far_stub_, 0, kLimit);  // Answered or refused.
  ExpectAnswer(*call, GetParam().bytes);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
  EXPECT_EQ(link_->resets(), 0);
}

TEST_P(AnswerTest, FromAHandlerThatEndsWhileDrainingArrives) {
  bool shown = false;
  // On a busy machine the first handlers may end too soon to show anything.
  for (std::uint32_t sleep_ms = 3000; !shown && sleep_ms < 20000; sleep_ms *= 2) {
    Start(kAllTheTime);
    const std::int64_t sent = link_->sent_up() + GetParam().bytes;
    const std::int64_t begun = link_->sent_down() + kBegun;
    link_->SetDownRate(GetParam().bytes_per_second);
    const auto call = FarCall(sleep_ms, GetParam().bytes);
    EXPECT_TRUE(testkit::Eventually([&] { return link_->sent_up() >= sent; }));
    EXPECT_TRUE(EchoCall(*far_stub_, 0, kLimit).Status().ok());  // The one before it has come.
    process().Signal(SIGTERM);
    AwaitEvent("GoodbyeSaid");
    shown = link_->sent_down() < begun;
    ExpectAnswer(*call, GetParam().bytes);
    EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
  }
  EXPECT_TRUE(shown);
}

// For longer than a connection must be silent to be ended.
TEST_P(AnswerTest, OnAStallingLinkArrives) {
  Start(kAllTheTime);
  const auto call = CallBeingAnswered(GetParam().bytes, GetParam().bytes_per_second);
  link_->SetRate(0);
  process().Signal(SIGTERM);
  AwaitEvent("GoodbyeSaid");
  std::this_thread::sleep_for(std::chrono::seconds(3));
  link_->SetRate(GetParam().bytes_per_second);
  ExpectAnswer(*call, GetParam().bytes);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
  EXPECT_EQ(link_->resets(), 0);
}

TEST_F(SlowLinksTest, ASlowlyReadStreamGetsItsGoodbye) {
  Start(kAllTheTime);
  // Or gRPC takes the queue for a fast link, and more and more lies in it: for minutes.
  grpc::ChannelArguments fixed_window;
  fixed_window.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  bench::WatchRequest request;
  request.set_payload(std::string(1000, 'x'));
  link_->SetRate(64 * kKilobyte);
  OpenStream stream(
      grpc::CreateCustomChannel(link_->address(), grpc::InsecureChannelCredentials(), fixed_window),
      "/bench.Bench/Watch", request.SerializeAsString(), kLimit);
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(stream.Read().has_value());
  process().Signal(SIGTERM);
  const absl::Status goodbye = client::FromGrpc(stream.Finish());
  EXPECT_EQ(client::ErrorReason(goodbye), "SERVER_DRAINING") << goodbye << "\n" << Output();
  EXPECT_TRUE(client::RetryDelay(goodbye).has_value());
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
}

TEST_F(SlowLinksTest, ARequestThatIsStillArrivingIsAnswered) {
  Start(kAllTheTime);
  const auto call = ArrivingCall();
  process().Signal(SIGTERM);
  AwaitEvent("GoodbyeSaid");
  link_->SetRate(2 * kMegabyte);
  ExpectAnswer(*call, kRequest);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
}

TEST_F(SlowLinksTest, ALateAnswerIsCountedAsCut) {
  Start({"--termination_grace=4s", "--shutdown_lame_duck=0"});
  const auto call = CallBeingAnswered(250 * kKilobyte, 16 * kKilobyte);
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(3)) << Output();
  EXPECT_EQ(Event("CallsCut").detail, "answers on 1 connections had not left");
  link_.reset();
  EXPECT_FALSE(call->Status().ok());
}

TEST_F(SlowLinksTest, ALateRequestIsCountedAsCut) {
  Start({"--termination_grace=4s", "--shutdown_lame_duck=0"});
  const auto call = ArrivingCall();
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(3)) << Output();
  EXPECT_EQ(Event("CallsCut").detail, "1 requests were still arriving");
  EXPECT_FALSE(call->Status().ok());
}

// gRPC takes no request whose end arrives once calls are refused, and tells nobody.
TEST_F(SlowLinksTest, ARequestThatIsCompleteTooLateIsCountedAsCut) {
  Start(
      {"--termination_grace=60s", "--shutdown_lame_duck=0", "--shutdown_drain_connections=100ms"});
  const auto call = ArrivingCall();
  process().Signal(SIGTERM);
  AwaitEvent("NewCallsRefused");
  link_->SetRate(2 * kMegabyte);
  EXPECT_EQ(Wait(), Ending::Exited(3)) << Output();
  EXPECT_EQ(Event("CallsCut").detail, "1 requests were still arriving");
  EXPECT_FALSE(call->Status().ok());
}

// Its caller and its report agree, whichever deadline a stopped clock has passed. The call
// would end long after all of them.
TEST_F(SlowLinksTest, AFrozenShutdownReportsWhatItCut) {
  Start({"--termination_grace=30s", "--shutdown_lame_duck=0", "--shutdown_drain_connections=100ms",
         "--shutdown_drain_calls=1s"});
  const auto call = AcceptedEcho(/*sleep_ms=*/20000);
  process().Signal(SIGTERM);
  AwaitEvent("ListenerClosed");
  process().Signal(SIGSTOP);
  std::this_thread::sleep_for(std::chrono::milliseconds(2500));
  process().Signal(SIGCONT);
  EXPECT_EQ(call->Status().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_EQ(Wait(), Ending::Exited(3)) << Output();
  EXPECT_EQ(Event("CallsCut").detail, "1 calls still ran (1 /bench.Bench/Echo)");
}

}  // namespace
}  // namespace process_test
