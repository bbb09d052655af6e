// A real server under what systemd does to a service: it is told when it is ready, what it does while
// it stops, and whether it is alive; and it passes listening sockets, which it keeps open.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/grpc_version.h"
#include "tests/common/child_process.h"
#include "tests/common/eventually.h"
#include "tests/common/notify_socket.h"
#include "tests/common/order_rules.h"
#include "tests/common/runfiles.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/process/looping_callers.h"
#include "tests/process/open_stream.h"
#include "tests/process/server_under_test.h"

namespace process_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;
using testkit::ChildProcess;
using testkit::Ending;

constexpr std::chrono::seconds kLimit{40};

// A unit of Type=notify.
class NotifyTest : public ::testing::Test {
 protected:
  void Start(const std::string& binary, std::vector<std::string> flags,
             ChildProcess::Environment environment = {}) {
    flags.insert(flags.begin(), kAllTheTime.begin(), kAllTheTime.end());
    environment["NOTIFY_SOCKET"] = path_;
    auto server = testkit::ServerProcess::Start(
        {.binary = binary, .flags = std::move(flags), .environment = std::move(environment)});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }
  ChildProcess& process() { return server_->process(); }

  std::vector<std::string> Phases() {
    std::vector<std::string> phases;
    for (const std::string& message : systemd_.Received()) {
      if (!message.starts_with("STATUS=")) continue;
      const std::string phase = message.substr(7, message.find_first_of(",: ", 7) - 7);
      if (phases.empty() || phases.back() != phase) phases.push_back(phase);
    }
    return phases;
  }

  const testkit::TempDir directory_{"/tmp"};  // Short enough for a socket's name.
  const std::string path_ = directory_.File("notify");
  testkit::NotifySocket systemd_{path_};
  std::unique_ptr<testkit::ServerProcess> server_;
};

TEST_F(NotifyTest, HearsOfReadinessAndEachShutdownPhase) {
  Start("tests/servers/echo/echo_server", {});
  EXPECT_TRUE(systemd_.Await("READY=1"));
  EXPECT_TRUE(rpc::RawConnection(server_->address()).connected());
  process().Signal(SIGTERM);
  // Read while they come: the kernel holds some ten, and the last word is not sent again.
  EXPECT_TRUE(systemd_.Await("STATUS=ended"));
  EXPECT_EQ(testkit::AwaitShutdown(process(), kLimit), Ending::Exited(0));
  EXPECT_EQ(systemd_.Count("STOPPING=1"), 1);
  EXPECT_THAT(Phases(),
              ::testing::ElementsAre("Serving", "LameDuck", "DrainingConnections", "DrainingCalls",
                                     "CancellingCalls", "StoppingWorkers", "SavingState",
                                     "ClosingResources", "Stopped", "ended"));
  EXPECT_EQ(systemd_.Received().back(), "STATUS=ended with exit code 0");
  EXPECT_THAT(systemd_.Received(), Not(::testing::Contains(StartsWith("EXTEND_TIMEOUT_USEC"))));
}

TEST_F(NotifyTest, IsAskedForMoreTimeByAFlag) {
  Start("tests/servers/echo/echo_server", {"--systemd_extend_timeout"});
  process().Signal(SIGTERM);
  EXPECT_TRUE(systemd_.Await("EXTEND_TIMEOUT_USEC="));
  EXPECT_EQ(testkit::AwaitShutdown(process(), kLimit), Ending::Exited(0));
}

TEST_F(NotifyTest, IsToldWhatHoldsTheShutdown) {
  Start("tests/process/faulty_server", {"--fault=database=slow"});
  process().Signal(SIGTERM);
  EXPECT_TRUE(systemd_.AwaitAny([](const std::string& message) {
    return message.starts_with("STATUS=ClosingResources") &&
           message.ends_with(": closing: database");
  }));
}

// Each stream of this server blocks one of gRPC's threads for ever.
TEST_F(NotifyTest, GetsNoSignOfLifeFromBlockedServers) {
  Start("tests/process/faulty_server", {"--fault=handler=hangs"}, {{"WATCHDOG_USEC", "200000"}});
  EXPECT_TRUE(systemd_.Await("READY=1"));
  const auto before = systemd_.Count("WATCHDOG=1");
  EXPECT_TRUE(testkit::Eventually([&] { return systemd_.Count("WATCHDOG=1") > before + 1; }));
  constexpr int kMostThreads = 16;
  std::vector<std::unique_ptr<OpenStream>> streams;
  for (int i = 0; i < kMostThreads; ++i) {
    streams.push_back(std::make_unique<OpenStream>(rpc::NewConnection(server_->address()),
                                                   "/bench.Bench/Watch", "", kLimit));
  }
  if (!rpc::kRunsOutOfThreads) {  // It serves on.
    ASSERT_TRUE(process().AwaitOutput("handler hangs", kLimit));
    const auto then = systemd_.Count("WATCHDOG=1");
    EXPECT_TRUE(testkit::Eventually([&] { return systemd_.Count("WATCHDOG=1") > then + 1; }));
    return;
  }
  // On a busy machine it may have said that they are busy, and says no more for a minute.
  ASSERT_TRUE(process().AwaitOutput("gRPC's threads have been blocked", std::chrono::seconds(90)));
  // A server that lives tells how long that is, on a busy machine, too.
  const std::string other_path = directory_.File("other");
  testkit::NotifySocket others(other_path);
  const auto other = testkit::ServerProcess::Start(
      {.binary = "tests/servers/echo/echo_server",
       .flags = kAllTheTime,
       .environment = {{"NOTIFY_SOCKET", other_path}, {"WATCHDOG_USEC", "200000"}}});
  ASSERT_TRUE(other.ok()) << other.status();
  // On such a machine it may have said so while one thread was only late, and goes on until the last
  // stream blocks that.
  EXPECT_TRUE(testkit::Eventually([&] {
    const auto last = systemd_.Count("WATCHDOG=1");
    const auto before_ten = others.Count("WATCHDOG=1");
    return testkit::Eventually([&] { return others.Count("WATCHDOG=1") >= before_ten + 10; }) &&
           systemd_.Count("WATCHDOG=1") == last;
  }));
}

// A .socket unit: its socket is open whether the service runs or not.
class SocketActivationTest : public ::testing::Test {
 protected:
  SocketActivationTest() {
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof any;
    auto* const generic = reinterpret_cast<sockaddr*>(&any);
    EXPECT_EQ(bind(socket_, generic, size), 0);
    EXPECT_EQ(listen(socket_, 100), 0);
    EXPECT_EQ(getsockname(socket_, generic, &size), 0);
    address_ = "127.0.0.1:" + std::to_string(ntohs(any.sin_port));
  }
  ~SocketActivationTest() override { close(socket_); }

  // What systemd does between fork and exec.
  static std::vector<std::string> Shell() {
    return {"/bin/sh", "-c", "export LISTEN_PID=$$; exec \"$@\"", "sh"};
  }
  static ChildProcess::Environment Environment() {
    return {{"LISTEN_FDS", "1"}, {"LISTEN_FDNAMES", "orders"}};
  }

  void Start(const std::vector<std::string>& more = {}) {
    std::vector<std::string> flags = kAllTheTime;
    flags.insert(flags.end(), more.begin(), more.end());
    auto server = testkit::ServerProcess::Start({.binary = "tests/servers/echo/echo_server",
                                                 .flags = std::move(flags),
                                                 .address = "fd:orders",
                                                 .under = Shell(),
                                                 .environment = Environment(),
                                                 .passed = {socket_}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    EXPECT_EQ(server_->address(), address_);
  }

  void Stop() {
    server_->process().Signal(SIGTERM);
    EXPECT_EQ(testkit::AwaitShutdown(server_->process(), kLimit), Ending::Exited(0));
  }

  std::string StartsBadly(const std::string& flag) {
    std::vector<std::string> command = Shell();
    command.push_back(testkit::RunfileOrDie("tests/servers/echo/echo_server"));
    command.push_back(flag);
    ChildProcess server(command, Environment(), {socket_});
    EXPECT_NE(server.Wait(kLimit), Ending());
    return server.Output();
  }

  const int socket_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  std::string address_;
  std::unique_ptr<testkit::ServerProcess> server_;
};

TEST_F(SocketActivationTest, ImpatientCallersLoseNothingInARestart) {
  ASSERT_NO_FATAL_FAILURE(Start());
  Callers callers(8, std::chrono::milliseconds(0), {address_}, grpc::InsecureChannelCredentials(),
                  Callers::Unreachable::kFail);
  for (int i = 0; i < 5; ++i) {
    const int enough = callers.answered() + 500;
    ASSERT_TRUE(testkit::Eventually([&] { return callers.answered() >= enough; }));
    Stop();
    EXPECT_TRUE(rpc::RawConnection(address_).connected()) << "while no server runs";
    ASSERT_NO_FATAL_FAILURE(Start());
  }
  callers.Stop();
  EXPECT_THAT(callers.lost(), IsEmpty());
}

TEST_F(SocketActivationTest, CallersWaitInAManualDrainAndTheLogSaysSo) {
  const testkit::TempDir directory("/tmp");  // Short enough for a socket's name.
  const std::string admin = "--admin_address=unix:" + directory.File("admin");
  ASSERT_NO_FATAL_FAILURE(Start({admin}));
  ChildProcess drain(
      {testkit::RunfileOrDie("client/client"), "drain", "--admin" + admin.substr(15)});
  ASSERT_EQ(drain.Wait(kLimit), Ending::Exited(0)) << drain.Output();
  EXPECT_TRUE(server_->process().AwaitOutput(
      " W echo: nobody is refused at " + address_ + ": another process, such as systemd", kLimit))
      << server_->process().Output();
  rpc::RawConnection waits(address_);
  EXPECT_TRUE(waits.connected());
  Stop();
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_TRUE(waits.ReceiveBytes(1)) << "the next process accepts";
  Stop();
  EXPECT_THAT(server_->process().Output(), Not(HasSubstr("nobody is refused"))) << "a shutdown";
}

TEST_F(SocketActivationTest, AnUnnamedSocketEndsTheStart) {
  EXPECT_THAT(StartsBadly("--address=127.0.0.1:0"),
              HasSubstr("usage: a socket was passed as fd:orders, where nobody would listen: "
                        "--address=fd:orders serves there"));
}

TEST_F(SocketActivationTest, AnAddressNotPassedEndsTheStart) {
  EXPECT_THAT(StartsBadly("--address=fd:orders,fd:admin"),
              HasSubstr("could not start: cannot listen on fd:admin: "));
}

}  // namespace
}  // namespace process_test
