// A real server, stopped by real signals: what its log tells, in order, what its
// callers see, and what it exits with.
#include <signal.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "client/error_details.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/raw_peer.h"
#include "tests/common/unread_pipe.h"
#include "tests/process/echo_call.h"
#include "tests/process/open_stream.h"
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using grpc::health::v1::HealthCheckResponse;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testkit::Ending;

class ShutdownTest : public ServerUnderTest {
 protected:
  void Start(const std::vector<std::string>& flags) {
    ServerUnderTest::Start("tests/servers/echo/echo_server", flags);
  }
};

TEST_F(ShutdownTest, SigtermTakesAnIdleServerThroughEveryPhase) {
  Start(kAllTheTime);
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "Stopped"))
      << Output();
}

TEST_F(ShutdownTest, AtSigintThereIsNoLameDuck) {
  Start({"--termination_grace=1h", "--shutdown_lame_duck=30m"});
  EXPECT_TRUE(Echo().ok());  // Its connection stays.
  process().Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "ShutdownRequested", "ListenerClosed", "GoodbyeSaid",
                          AnyOf("ConnectionsGone", "ConnectionsRemain"), "NewCallsRefused",
                          "CallsFinished", "ServerStopped", "WorkersStopped", "Stopped"))
      << Output();
}

TEST_F(ShutdownTest, AConnectionThatIsIdleDelaysNothing) {
  Start(kAllTheTime);
  EXPECT_TRUE(Echo().ok());
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
  Event("ConnectionsGone");
  Event("CallsFinished");
}

TEST_F(ShutdownTest, ASilentConnectionDelaysNothing) {
  Start(kAllTheTime);
  EXPECT_TRUE(Echo().ok());
  rpc::RawConnection silent(address());
  EXPECT_TRUE(silent.ReceiveBytes(1));  // gRPC greets first: the server has it.
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
}

TEST_F(ShutdownTest, ARunningCallIsAnsweredWhileConnectionsLeave) {
  Start(kAllTheTime);
  const auto call = AcceptedHold();
  process().Signal(SIGTERM);
  AwaitEvent("GoodbyeSaid");
  const grpc::Status status = call->Release();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Wait(), Ending::Exited(0));
  Event("ConnectionsGone");
}

TEST_F(ShutdownTest, ARunningCallIsAnsweredDuringTheShutdown) {
  Start(
      {"--termination_grace=1h", "--shutdown_lame_duck=10ms", "--shutdown_drain_connections=10ms"});
  const auto call = AcceptedHold();
  process().Signal(SIGTERM);
  AwaitEvent("NewCallsRefused");
  const grpc::Status status = call->Release();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsRemain", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "Stopped"))
      << Output();
}

TEST_F(ShutdownTest, ClosingTheListenerRefusesOnlyNewConnections) {
  Start(kAllTheTime);
  const auto call = AcceptedHold();
  process().Signal(SIGTERM);
  AwaitEvent("GoodbyeSaid");
  const auto stub = bench::Bench::NewStub(rpc::NewConnection(address()));
  grpc::ClientContext context;
  bench::EchoReply reply;
  EXPECT_EQ(stub->Echo(&context, {}, &reply).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_TRUE(call->Release().ok());
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
}

// In its lame duck: without one, the goodbye may end the watch before it can write.
TEST_F(ShutdownTest, AnOpenHealthWatchHears) {
  Start({"--termination_grace=2h", "--shutdown_lame_duck=1h"});
  const auto watch = Open("/grpc.health.v1.Health/Watch");
  HealthCheckResponse health;
  const auto next = [&] {
    const auto message = watch->Read();
    EXPECT_TRUE(message.has_value() && health.ParseFromString(*message))
        << client::FromGrpc(watch->Finish()) << Output();
    return health.status();
  };
  ASSERT_EQ(next(), HealthCheckResponse::SERVING);
  process().Signal(SIGTERM);
  ASSERT_EQ(next(), HealthCheckResponse::NOT_SERVING);
  process().Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
  EXPECT_FALSE(watch->Finish().ok());
}

TEST_F(ShutdownTest, AnOpenHealthWatchDelaysNothing) {
  Start(kAllTheTime);
  const auto watch = Open("/grpc.health.v1.Health/Watch");
  ASSERT_TRUE(watch->Read().has_value()) << client::FromGrpc(watch->Finish()) << Output();
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
  EXPECT_THAT(Output(), Not(HasSubstr("ConnectionsRemain: busy")));
  Event("CallsFinished");
  EXPECT_FALSE(watch->Finish().ok());
}

TEST_F(ShutdownTest, AnOpenReflectionStreamDelaysNothing) {
  Start(kAllTheTime);
  // ServerReflectionRequest{list_services: "*"}
  const auto stream =
      Open("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\x3a\x01*");
  EXPECT_THAT(stream->Read().value_or(""),
              AllOf(HasSubstr("bench.Bench"), HasSubstr("grpc.health.v1.Health")));
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
  EXPECT_THAT(Output(), Not(HasSubstr("ConnectionsRemain: busy")));
  Event("CallsFinished");
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(ShutdownTest, AnEndlessStreamEndsWithAGoodbye) {
  Start(kAllTheTime);
  bench::WatchRequest request;
  request.set_interval_ms(1);
  const auto watch = Open("/bench.Bench/Watch", request.SerializeAsString());
  ASSERT_TRUE(watch->Read().has_value());
  const auto chat = Open("/bench.Bench/Chat");
  ASSERT_TRUE(chat->Read().has_value());
  process().Signal(SIGTERM);
  for (const auto& stream : {&watch, &chat}) {
    const absl::Status end = client::FromGrpc((*stream)->Finish());
    EXPECT_TRUE(absl::IsUnavailable(end)) << end;
    EXPECT_EQ(client::ErrorReason(end), "SERVER_DRAINING");
    EXPECT_TRUE(client::RetryDelay(end).has_value());
  }
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
  EXPECT_EQ(Event("GoodbyeSaid").detail, "2 streams");
  Event("CallsFinished");
}

TEST_F(ShutdownTest, AnUnreadStreamIsCutAndCounted) {
  Start({"--termination_grace=1h", "--shutdown_lame_duck=0", "--shutdown_drain_connections=100ms",
         "--shutdown_drain_calls=100ms"});
  // Or flow control lets ever more go unread.
  grpc::ChannelArguments fixed_window;
  fixed_window.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  channel_ = grpc::CreateCustomChannel(address(), grpc::InsecureChannelCredentials(), fixed_window);
  bench::WatchRequest request;
  // Larger than what flow control lets go unread.
  request.set_payload(std::string(3 << 20, 'x'));
  const auto watch = Open("/bench.Bench/Watch", request.SerializeAsString());
  ASSERT_TRUE(watch->Read().has_value());
  process().Signal(SIGTERM);
  AwaitEvent("CallsCut");
  EXPECT_FALSE(watch->Finish().ok());
  EXPECT_EQ(Wait(), Ending::Exited(3)) << Output();
  EXPECT_EQ(Event("CallsCut").detail, "1 calls still ran (1 /bench.Bench/Watch)");
  Event("ServerStopped");
}

TEST_F(ShutdownTest, ACallerThatFreezesWhileReceivingDelaysNothing) {
  // Less than the 10 s for which gRPC looks after a write that has to wait.
  Start({"--termination_grace=9s", "--shutdown_lame_duck=0", "--shutdown_drain_connections=100ms",
         "--shutdown_drain_calls=100ms", "--shutdown_cancel_calls=6s"});
  bench::WatchRequest request;
  request.set_payload(std::string(16000, 'x'));
  // Lets the server send as much as it likes, and then reads nothing: its buffer has no room
  // for one event more, which leaves the server in the middle of a write.
  rpc::RawPeer frozen(address(), {.receive_buffer = 4096});
  const std::uint32_t stream = frozen.Call("/bench.Bench/Watch", request.SerializeAsString());
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(frozen.AwaitOn(stream, rpc::RawPeer::kData).has_value());
  }
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(3)) << Output();
  Event("CallsCut");
  Event("ServerStopped");
}

TEST_F(ShutdownTest, ALogThatNobodyReadsDelaysNothing) {
  const testkit::UnreadPipe log;
  ServerUnderTest::Start("tests/servers/echo/echo_server", kAllTheTime, log.As("2"));
  process().Signal(SIGTERM);
  EXPECT_EQ(process().Wait(kLimit), Ending::Exited(0));
}

TEST_F(ShutdownTest, ASecondSignalExpeditesAndKeepsTheOrder) {
  Start(kAllTheTime);
  const auto call = AcceptedEcho(/*sleep_ms=*/3'600'000);
  process().Signal(SIGTERM);
  AwaitEvent("GoodbyeSaid");
  process().Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(3));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsRemain", "NewCallsRefused", "CallsCut",
                          // A short wait may be too short on a busy machine.
                          AnyOf("ServerStopped", "ServerAbandoned"), "WorkersStopped", "Stopped"))
      << Output();
  EXPECT_EQ(call->Status().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(ShutdownTest, AThirdSignalExitsAtOnceWith6) {
  Start(kAllTheTime);
  const auto call = AcceptedEcho(kForEver);
  process().Signal(SIGINT);
  AwaitEvent("GoodbyeSaid");
  process().SignalAtOnce({SIGINT, SIGTERM});
  EXPECT_EQ(Wait(), Ending::Exited(6)) << Output();
  EXPECT_THAT(Output(), HasSubstr("third signal"));
  EXPECT_THAT(EventNames(), Not(Contains("Stopped")));
}

TEST_F(ShutdownTest, AnEndlessCallIsGivenUpWith3) {
  Start({"--termination_grace=5s", "--shutdown_lame_duck=10ms"});
  const auto call = AcceptedEcho(kForEver);
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(3));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsRemain", "NewCallsRefused", "CallsCut",
                          "ServerAbandoned", "WorkersStopped", "Stopped"))
      << Output();
  EXPECT_LT(Event("Stopped").since_shutdown, std::chrono::seconds(5));
}

}  // namespace
}  // namespace process_test
