// A real server, stopped by real signals: what its log tells, in order, what its
// callers see, and what it exits with.
//
// Where nothing should be waited for, the budgets of the stop are an hour in sum: a
// stop that did wait for one would not end in the time of a test. So nothing here
// measures time.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
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
#include "tests/bench/bench.grpc.pb.h"
#include "tests/common/event_log.h"
#include "tests/common/order_rules.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/process/echo_call.h"
#include "tests/process/open_stream.h"

namespace process_test {
namespace {

using grpc::health::v1::HealthCheckResponse;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using testkit::Ending;
using testkit::EventNamesIn;
using testkit::EventsIn;
using testkit::LoggedEvent;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{40};

// An hour for everything; the lame duck ends when no call arrives.
const std::vector<std::string> kAllTheTime = {"--termination_grace=1h", "--stop_least_lame_duck=0"};

// A TCP connection whose other end is written here by hand, and never reads more than
// it is told to.
class RawConnection {
 public:
  explicit RawConnection(const std::string& address)
      : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in peer{};
    peer.sin_family = AF_INET;
    peer.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int port = std::stoi(address.substr(address.rfind(':') + 1));
    peer.sin_port = htons(static_cast<std::uint16_t>(port));
    EXPECT_EQ(connect(fd_, reinterpret_cast<sockaddr*>(&peer), sizeof peer), 0);
  }
  ~RawConnection() { close(fd_); }
  RawConnection(const RawConnection&) = delete;
  RawConnection& operator=(const RawConnection&) = delete;

  void Send(const std::string& bytes) {
    EXPECT_EQ(write(fd_, bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  }
  // Waits for `count` bytes.
  void Read(std::size_t count) {
    std::string bytes(count, '\0');
    EXPECT_EQ(recv(fd_, bytes.data(), count, MSG_WAITALL), static_cast<ssize_t>(count));
  }

 private:
  const int fd_;
};

// One frame of HTTP/2 (RFC 9113, section 4.1).
std::string Frame(char type, char flags, char stream, const std::string& payload) {
  const std::size_t size = payload.size();
  return {std::string{static_cast<char>(size >> 16), static_cast<char>(size >> 8),
                      static_cast<char>(size), type, flags, 0, 0, 0, stream} +
          payload};
}

class StopTest : public ::testing::Test {
 protected:
  void Start(const std::vector<std::string>& flags) {
    auto server =
        testkit::ServerProcess::Start({.binary = "tests/bench/echo_server", .flags = flags});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = grpc::CreateChannel(server_->address(), grpc::InsecureChannelCredentials());
    stub_ = bench::Bench::NewStub(channel_);
  }

  testkit::ChildProcess& process() { return server_->process(); }

  grpc::Status Echo() { return EchoCall(*stub_, 0, kLimit).Status(); }

  // A call that the server has accepted: an answer to a later one, which came on the
  // same connection, is here already.
  std::unique_ptr<EchoCall> AcceptedEcho(std::uint32_t sleep_ms) {
    EXPECT_TRUE(Echo().ok());
    auto call = std::make_unique<EchoCall>(*stub_, sleep_ms, kLimit);
    EXPECT_TRUE(Echo().ok());
    return call;
  }

  std::unique_ptr<OpenStream> Open(const std::string& method, const std::string& request = "") {
    return std::make_unique<OpenStream>(channel_, method, request, kLimit);
  }

  void AwaitEvent(const std::string& name) {
    ASSERT_TRUE(process().AwaitOutput(" " + name, kLimit)) << process().Output();
  }

  Ending Wait() {
    const Ending ending = process().Wait(kLimit);
    EXPECT_THAT(process().Output(), testkit::KeepsTheOrderOfAStop(ending));
    return ending;
  }

  std::vector<std::string> EventNames() { return EventNamesIn(process().Output()); }

  // The one event of this name.
  LoggedEvent Event(const std::string& name) {
    std::vector<LoggedEvent> found;
    for (const LoggedEvent& event : EventsIn(process().Output())) {
      if (event.name == name) found.push_back(event);
    }
    EXPECT_THAT(found, SizeIs(1)) << name << " in\n" << process().Output();
    return found.empty() ? LoggedEvent() : found.front();
  }

  std::unique_ptr<testkit::ServerProcess> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<bench::Bench::Stub> stub_;
};

TEST_F(StopTest, AnIdleServerGoesThroughEveryPhaseAtSigtermAndExitsWith0) {
  Start(kAllTheTime);
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "StopRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "ShutdownBegun", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "Stopped"))
      << process().Output();
}

TEST_F(StopTest, AtSigintThereIsNoLameDuckAndNoWaitingForIdleConnections) {
  Start(kAllTheTime);
  EXPECT_TRUE(Echo().ok());  // Its connection stays.
  process().Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_THAT(EventNames(), ElementsAre("Serving", "StopRequested", "ListenerClosed", "GoodbyeSaid",
                                        "ShutdownBegun", "CallsFinished", "ServerStopped",
                                        "WorkersStopped", "Stopped"))
      << process().Output();
}

TEST_F(StopTest, AConnectionThatIsIdleDelaysNothing) {
  Start(kAllTheTime);
  EXPECT_TRUE(Echo().ok());
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << process().Output();
  Event("ConnectionsGone");
  Event("CallsFinished");
}

TEST_F(StopTest, AConnectionThatNeverSaysAWordDelaysNothing) {
  Start(kAllTheTime);
  EXPECT_TRUE(Echo().ok());
  RawConnection silent(server_->address());
  silent.Read(1);  // gRPC greets first: the server has it.
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << process().Output();
}

TEST_F(StopTest, ACallThatRunsIsAnsweredWhileConnectionsLeave) {
  Start(kAllTheTime);
  const auto call = AcceptedEcho(/*sleep_ms=*/1000);
  process().Signal(SIGTERM);
  const grpc::Status status = call->Status();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Wait(), Ending::Exited(0));
  Event("ConnectionsGone");
}

TEST_F(StopTest, ACallThatRunsIsAnsweredAlsoAfterTheShutdownHasBegun) {
  Start({"--termination_grace=1h", "--stop_lame_duck=10ms", "--stop_connections=10ms"});
  const auto call = AcceptedEcho(/*sleep_ms=*/3000);
  process().Signal(SIGTERM);
  AwaitEvent("ShutdownBegun");
  EXPECT_FALSE(call->Answered()) << "too soon to show anything";
  const grpc::Status status = call->Status();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "StopRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsLeft", "ShutdownBegun", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "Stopped"))
      << process().Output();
}

TEST_F(StopTest, OnceTheListenerIsClosedOldConnectionsAreServedAndNewOnesRefused) {
  Start(kAllTheTime);
  const auto call = AcceptedEcho(/*sleep_ms=*/3000);
  process().Signal(SIGTERM);
  AwaitEvent("GoodbyeSaid");
  EXPECT_TRUE(Echo().ok());
  grpc::ChannelArguments own_connection;
  own_connection.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  const auto stub = bench::Bench::NewStub(grpc::CreateCustomChannel(
      server_->address(), grpc::InsecureChannelCredentials(), own_connection));
  grpc::ClientContext context;
  bench::EchoReply reply;
  EXPECT_EQ(stub->Echo(&context, {}, &reply).error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_FALSE(call->Answered()) << "too soon to show anything";
  EXPECT_TRUE(call->Status().ok());
  EXPECT_EQ(Wait(), Ending::Exited(0)) << process().Output();
}

TEST_F(StopTest, AnOpenHealthWatchIsToldAndDelaysNothing) {
  Start(kAllTheTime);
  const auto watch = Open("/grpc.health.v1.Health/Watch");
  HealthCheckResponse health;
  std::optional<std::string> message = watch->Read();
  ASSERT_TRUE(message.has_value()) << client::FromGrpc(watch->Finish()) << process().Output();
  ASSERT_TRUE(health.ParseFromString(*message));
  EXPECT_EQ(health.status(), HealthCheckResponse::SERVING);
  process().Signal(SIGTERM);
  message = watch->Read();
  ASSERT_TRUE(message.has_value()) << client::FromGrpc(watch->Finish()) << process().Output();
  ASSERT_TRUE(health.ParseFromString(*message));
  EXPECT_EQ(health.status(), HealthCheckResponse::NOT_SERVING);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << process().Output();
  Event("ConnectionsGone");
  Event("CallsFinished");
  EXPECT_FALSE(watch->Finish().ok());
}

TEST_F(StopTest, AnOpenReflectionStreamDelaysNothing) {
  Start(kAllTheTime);
  // ServerReflectionRequest{list_services: "*"}
  const auto stream =
      Open("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "\x3a\x01*");
  EXPECT_THAT(stream->Read().value_or(""),
              AllOf(HasSubstr("bench.Bench"), HasSubstr("grpc.health.v1.Health")));
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(0)) << process().Output();
  Event("ConnectionsGone");
  Event("CallsFinished");
  EXPECT_FALSE(stream->Finish().ok());
}

TEST_F(StopTest, AnEndlessStreamEndsWithAGoodbyeThatSaysWhatToDo) {
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
  EXPECT_EQ(Wait(), Ending::Exited(0)) << process().Output();
  EXPECT_EQ(Event("GoodbyeSaid").detail, "2 streams");
  Event("CallsFinished");
}

TEST_F(StopTest, AStreamWhoseCallerDoesNotReadIsCutOffAndCounted) {
  Start({"--termination_grace=1h", "--stop_least_lame_duck=0", "--stop_connections=100ms",
         "--stop_calls=100ms"});
  // Or flow control lets ever more go unread.
  grpc::ChannelArguments fixed_window;
  fixed_window.SetInt(GRPC_ARG_HTTP2_BDP_PROBE, 0);
  channel_ = grpc::CreateCustomChannel(server_->address(), grpc::InsecureChannelCredentials(),
                                       fixed_window);
  bench::WatchRequest request;
  // Larger than what flow control lets go unread.
  request.set_payload(std::string(3 << 20, 'x'));
  const auto watch = Open("/bench.Bench/Watch", request.SerializeAsString());
  ASSERT_TRUE(watch->Read().has_value());
  process().Signal(SIGTERM);
  AwaitEvent("CallsCut");
  EXPECT_FALSE(watch->Finish().ok());
  EXPECT_EQ(Wait(), Ending::Exited(3)) << process().Output();
  EXPECT_EQ(Event("CallsCut").detail, "1 calls still ran");
  Event("ServerStopped");
}

TEST_F(StopTest, ACallerThatIsFrozenWhileItIsSentToDelaysNothing) {
  // Less than the 10 s for which gRPC looks after a write that has to wait.
  Start({"--termination_grace=8s", "--stop_least_lame_duck=0", "--stop_connections=100ms",
         "--stop_calls=100ms"});
  bench::WatchRequest request;
  request.set_payload(std::string(16000, 'x'));
  const std::string message = request.SerializeAsString();
  const std::string path = "/bench.Bench/Watch";
  RawConnection frozen(server_->address());
  // Lets the server send as much as it likes, asks for it, and reads next to nothing:
  // the server is left in the middle of a write.
  const std::string anything = "\x7f\xff\xff\xff";
  const std::string more = std::string("\x7f\xff\0\0", 4);
  frozen.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" +
              Frame(/*SETTINGS*/ 4, 0, 0, std::string("\0\x04", 2) + anything) +
              Frame(/*WINDOW_UPDATE*/ 8, 0, 0, more) +
              Frame(/*HEADERS*/ 1, /*END_HEADERS*/ 4, 1,
                    std::string("\x83\x86\x04") + static_cast<char>(path.size()) + path +
                        "\x01\x01x" + "\x0f\x10\x10" + "application/grpc" +
                        std::string("\0\x02te\x08trailers", 13)) +
              Frame(/*DATA*/ 0, /*END_STREAM*/ 1, 1,
                    std::string({0, 0, 0, static_cast<char>(message.size() >> 8),
                                 static_cast<char>(message.size())}) +
                        message));
  frozen.Read(1 << 20);
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(3)) << process().Output();
  Event("CallsCut");
  Event("ServerStopped");
}

TEST_F(StopTest, ALogThatNobodyReadsDelaysNothing) {
  const testkit::TempDir directory;
  const std::string log = directory.File("log");
  ASSERT_EQ(mkfifo(log.c_str(), 0600), 0);
  const int reader = open(log.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  const std::string much(1 << 20, '.');
  while (write(reader, much.data(), much.size()) > 0) continue;
  auto server =
      testkit::ServerProcess::Start({.binary = "tests/bench/echo_server",
                                     .flags = kAllTheTime,
                                     .under = {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>" + log}});
  ASSERT_TRUE(server.ok()) << server.status();
  (*server)->process().Signal(SIGTERM);
  EXPECT_EQ((*server)->process().Wait(kLimit), Ending::Exited(0));
  close(reader);
}

TEST_F(StopTest, ASecondSignalMakesEveryWaitShortAndKeepsTheOrder) {
  Start(kAllTheTime);
  const auto call = AcceptedEcho(/*sleep_ms=*/3'600'000);
  process().Signal(SIGTERM);
  AwaitEvent("GoodbyeSaid");
  process().Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(3));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "StopRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsLeft", "ShutdownBegun", "CallsCut",
                          // A short wait may be too short on a busy machine.
                          AnyOf("ServerStopped", "ServerAbandoned"), "WorkersStopped", "Stopped"))
      << process().Output();
  EXPECT_EQ(call->Status().error_code(), grpc::StatusCode::UNAVAILABLE);
}

TEST_F(StopTest, ASigtermRepeatedByThePlatformIsNotASecondSignal) {
  Start(kAllTheTime);
  const auto call = AcceptedEcho(/*sleep_ms=*/1500);
  process().Signal(SIGTERM);
  AwaitEvent("StopRequested");
  process().Signal(SIGTERM);
  const grpc::Status status = call->Status();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(Wait(), Ending::Exited(0)) << process().Output();
}

TEST_F(StopTest, AThirdSignalLeavesAtOnceWith6) {
  Start(kAllTheTime);
  const auto call = AcceptedEcho(kForEver);
  process().Signal(SIGINT);
  AwaitEvent("ShutdownBegun");
  // Two different ones: the kernel would make one of two that are the same.
  process().Signal(SIGINT);
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(6)) << process().Output();
  EXPECT_THAT(process().Output(), HasSubstr("third signal"));
  EXPECT_EQ(EventNames().back(), "ShutdownBegun");
}

TEST_F(StopTest, ACallThatNeverEndsIsGivenUpWithinTheGraceWith3) {
  Start({"--termination_grace=5s", "--stop_lame_duck=10ms"});
  const auto call = AcceptedEcho(kForEver);
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(3));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "StopRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsLeft", "ShutdownBegun", "CallsCut",
                          "ServerAbandoned", "WorkersStopped", "Stopped"))
      << process().Output();
  EXPECT_LT(Event("Stopped").since_stop, std::chrono::seconds(5));
}

}  // namespace
}  // namespace process_test
