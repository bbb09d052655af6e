// Real servers that cannot start, or are told to stop before they have: one line that
// says why, and an exit code.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/admin/testing/http_caller.h"
#include "service/rpc/testing/callers.h"
#include "tests/common/child_process.h"
#include "tests/common/event_log.h"
#include "tests/common/eventually.h"
#include "tests/common/order_rules.h"
#include "tests/common/runfiles.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/process/echo_call.h"
#include "tests/process/faulty_server_uses.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using testkit::ChildProcess;
using testkit::Ending;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{40};

std::vector<std::string> EchoServer(const std::vector<std::string>& flags) {
  std::vector<std::string> command = {testkit::RunfileOrDie("tests/servers/echo/echo_server")};
  command.insert(command.end(), flags.begin(), flags.end());
  return command;
}

// Beside the events in its log, and its report.
MATCHER(IsOneLine, "is one line") {
  const auto lines = static_cast<std::size_t>(std::count(arg.begin(), arg.end(), '\n'));
  const std::size_t report = arg.find(": shutdown report: {") == std::string::npos ? 0 : 1;
  return lines == testkit::EventsIn(arg).size() + report + 1 && arg.back() == '\n';
}

TEST(StartTest, SecondServerOnAPortExitsWith2) {
  const auto first = testkit::ServerProcess::Start({.binary = "tests/servers/echo/echo_server"});
  ASSERT_TRUE(first.ok()) << first.status();
  ChildProcess second(EchoServer({"--address=" + (*first)->address()}));
  EXPECT_EQ(testkit::AwaitShutdown(second, kLimit), Ending::Exited(2));
  EXPECT_THAT(second.Output(), AllOf(IsOneLine(), HasSubstr((*first)->address())));
  EXPECT_EQ((*first)->process().Wait(std::chrono::milliseconds(0)), Ending());
}

TEST(StartTest, AnAdminAddressInUseExitsWith2) {
  const auto first = testkit::ServerProcess::Start({.binary = "tests/servers/echo/echo_server"});
  ASSERT_TRUE(first.ok()) << first.status();
  ChildProcess second(
      EchoServer({"--address=127.0.0.1:0", "--admin_address=" + (*first)->address()}));
  EXPECT_EQ(testkit::AwaitShutdown(second, kLimit), Ending::Exited(2));
  EXPECT_THAT(second.Output(), AllOf(IsOneLine(), HasSubstr((*first)->address())));
}

TEST(StartTest, AUsedAdminHttpAddressExitsWith2) {
  const auto first = testkit::ServerProcess::Start({.binary = "tests/servers/echo/echo_server"});
  ASSERT_TRUE(first.ok()) << first.status();
  ChildProcess second(
      EchoServer({"--address=127.0.0.1:0", "--admin_http_address=" + (*first)->address()}));
  EXPECT_EQ(testkit::AwaitShutdown(second, kLimit), Ending::Exited(2));
  EXPECT_THAT(second.Output(), AllOf(IsOneLine(), HasSubstr((*first)->address()),
                                     HasSubstr("--admin_http_address")));
}

// As in a chroot: its descriptors are found in another way.
TEST(StartTest, AServerServesAndStopsWithoutProc) {
  std::vector<std::string> alone = {"/usr/bin/unshare", "--mount"};
  if (geteuid() != 0) alone.emplace_back("--map-root-user");
  std::vector<std::string> nothing = alone;
  nothing.emplace_back("/bin/true");
  ChildProcess tried(nothing);
  if (tried.Wait(kLimit) != Ending::Exited(0)) {
    GTEST_SKIP() << "mounts of the test's own cannot be had here (" << tried.Output()
                 << "). It would have shown that a server needs no /proc.";
  }
  alone.insert(alone.end(), {"/bin/sh", "-c", "mount -t tmpfs none /proc && exec \"$0\" \"$@\""});
  const testkit::TempDir directory;
  const std::string port_file = directory.File("http");
  const auto server = testkit::ServerProcess::Start(
      {.binary = "tests/servers/echo/echo_server",
       .flags = {"--admin_http_address=127.0.0.1:0", "--admin_http_port_file=" + port_file},
       .under = alone});
  ASSERT_TRUE(server.ok()) << server.status();
  const auto stub = bench::Bench::NewStub(rpc::NewConnection((*server)->address()));
  EXPECT_TRUE(EchoCall(*stub, /*sleep_ms=*/0, kLimit).Status().ok());
  std::string http;
  std::ifstream(port_file) >> http;
  EXPECT_THAT(admin::Get(http, "/metrics").body,
              AllOf(HasSubstr("\nprocess_max_fds "), Not(HasSubstr("\nprocess_open_fds")),
                    Not(HasSubstr("\nprocess_resident_memory_bytes")),
                    Not(HasSubstr("\nprocess_start_time_seconds"))));
  (*server)->process().Signal(SIGTERM);
  EXPECT_EQ(testkit::AwaitShutdown((*server)->process(), kLimit), Ending::Exited(0));
}

TEST(StartTest, AnInvalidAddressExitsWith2) {
  ChildProcess server(EchoServer({"--address=nowhere"}));
  EXPECT_EQ(testkit::AwaitShutdown(server, kLimit), Ending::Exited(2));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr("nowhere")));
}

TEST(StartTest, AnUnwritablePortFileExitsWith2) {
  const testkit::TempDir directory;
  const std::string path = directory.File("missing") + "/port";
  ChildProcess server(EchoServer({"--address=127.0.0.1:0", "--port_file=" + path}));
  EXPECT_EQ(testkit::AwaitShutdown(server, kLimit), Ending::Exited(2));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr(path)));
}

TEST(StartTest, AnUnreadableCertificateExitsWith2) {
  const testkit::TempDir directory;
  const std::string path = directory.File("missing");
  ChildProcess server(
      EchoServer({"--address=127.0.0.1:0", "--tls_certificate=" + path, "--tls_key=" + path}));
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(2));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr(path)));
}

TEST(StartTest, AnUnknownFlagExitsWith1) {
  ChildProcess server(EchoServer({"--no_such_flag=1"}));
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr("no_such_flag")));
}

TEST(StartTest, AnUnknownArgumentExitsWith1) {
  ChildProcess server(EchoServer({"please"}));
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr("please")));
}

TEST(StartTest, AnUnknownArgumentIsRepeatedWithoutItsPassword) {
  ChildProcess server(EchoServer({"postgresql://ada:s3cret@db/orders"}));
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr("ada:***@db")));
}

TEST(StartTest, ATooLargeBudgetExitsWith1) {
  ChildProcess server(EchoServer({"--termination_grace=1s", "--shutdown_drain_calls=2s"}));
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr("1s"), HasSubstr("2s")));
}

TEST(StartTest, ASignalAtAnyMomentEndsAStart) {
  constexpr std::chrono::milliseconds kEachUntil{30};
  bool served = false;
  // Where a start takes longer, as with a sanitizer, the first ones all end before main().
  for (std::chrono::milliseconds wait{0}; wait < kEachUntil || !served;
       wait += wait < kEachUntil ? std::chrono::milliseconds(1) : wait / 8) {
    ASSERT_LT(wait, kLimit) << "it never served";
    const std::string when = "after " + std::to_string(wait.count()) + " ms: ";
    const testkit::TempDir directory;
    const std::string port_file = directory.File("port");
    ChildProcess server(EchoServer({"--address=127.0.0.1:0", "--port_file=" + port_file,
                                    "--termination_grace=1h", "--shutdown_lame_duck=0"}));
    server.Wait(wait);
    server.Signal(SIGTERM);
    // Before main() can take a signal it ends the process as it ends any.
    EXPECT_THAT(testkit::AwaitShutdown(server, kLimit),
                AnyOf(Ending::Exited(0), Ending::Killed(SIGTERM)))
        << when << server.Output();
    // Callers that could find it have a lame duck, as always; otherwise there are none.
    const std::vector<std::string> events = testkit::EventNamesIn(server.Output());
    const auto happened = [&](const std::string& event) {
      return std::find(events.begin(), events.end(), event) != events.end();
    };
    const bool found = std::filesystem::exists(port_file);
    EXPECT_EQ(happened("Serving"), found) << when << server.Output();
    EXPECT_EQ(happened("LameDuckEntered"), found) << when << server.Output();
    served |= found;
  }
}

// A start that takes its time at one stage, and a signal that comes in the middle of it.
// "callers": everything is open, and they are about to be let in.
class SlowStartTest : public ::testing::TestWithParam<std::string> {
 protected:
  // Returns when the start is at its stage, where it stays until it is told to stop.
  void Start(const std::string& more_faults, const std::vector<std::string>& more_flags) {
    std::vector<std::string> command = {
        testkit::RunfileOrDie("tests/process/faulty_server"), "--address=127.0.0.1:0",
        "--port_file=" + port_file_, "--termination_grace=1h",
        "--fault=start=" + GetParam() + (more_faults.empty() ? "" : "," + more_faults)};
    command.insert(command.end(), more_flags.begin(), more_flags.end());
    server_.emplace(command);
    ASSERT_TRUE(server_->AwaitOutput("opening " + GetParam() + "\n", kLimit)) << Output();
  }

  // Returns when it was taken: the kernel would make one of two that are the same.
  void Signal(int signal) {
    server_->Signal(signal);
    const std::string status = "/proc/" + std::to_string(server_->pid()) + "/status";
    EXPECT_TRUE(testkit::Eventually([&] {
      std::ifstream file(status);
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      return server_->Wait(std::chrono::milliseconds(0)) != Ending() ||
             text.find("ShdPnd:\t0000000000000000") != std::string::npos;
    })) << Output();
  }

  std::string Output() const { return server_->Output(); }

  // Waits for the end. Nobody was let in, and nobody knows of a port.
  Ending Wait() {
    const Ending ending = testkit::AwaitShutdown(*server_, kLimit, kFaultyUses);
    EXPECT_FALSE(std::filesystem::exists(port_file_));
    return ending;
  }

  // "Closed pool".
  std::vector<std::string> Told() const {
    std::vector<std::string> told;
    for (const testkit::LoggedEvent& event : testkit::EventsIn(Output())) {
      told.push_back(event.name + (event.subject.empty() ? "" : " " + event.subject));
    }
    return told;
  }

  const testkit::TempDir directory_;
  const std::string port_file_ = directory_.File("port");
  std::optional<ChildProcess> server_;
};

// Neither uses the other.
const auto kClosedInParallel = AnyOf("Closed channel", "Closed database");

TEST_P(SlowStartTest, ASignalRollsBackAdmittingNobody) {
  for (const int signal : {SIGTERM, SIGINT}) {
    ASSERT_NO_FATAL_FAILURE(Start("", {}));
    Signal(signal);
    EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
    EXPECT_THAT(Told(),
                ElementsAre("ShutdownRequested", "ListenerClosed", "GoodbyeSaid", "ConnectionsGone",
                            "NewCallsRefused", "CallsFinished", "ServerStopped", "WorkersStopped",
                            "StateSaved saver", "Closed pool", kClosedInParallel, kClosedInParallel,
                            "Closed files", "Closed operators", "Stopped"))
        << Output();
  }
}

TEST_P(SlowStartTest, ASecondSignalExpeditesAndKeepsTheOrder) {
  // Nothing but that signal ends the start, or a wait in the time of a test.
  ASSERT_NO_FATAL_FAILURE(Start("opener=deaf,worker=hangs,saver=hangs,pool=hangs", {}));
  Signal(SIGTERM);
  Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(4)) << Output();
  // A short wait may be too short on a busy machine for what would end.
  const auto done_with = [](const std::string& name) {
    return AnyOf("Closed " + name, "CloseFailed " + name);
  };
  const auto in_parallel = AnyOf(done_with("channel"), done_with("database"));
  EXPECT_THAT(Told(), ElementsAre("ShutdownRequested", "ListenerClosed", "GoodbyeSaid",
                                  "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                                  AnyOf("ServerStopped", "ServerAbandoned"), "WorkerFailed worker",
                                  "SaveFailed saver", "CloseFailed pool", in_parallel, in_parallel,
                                  done_with("files"), done_with("operators"), "Stopped"))
      << Output();
}

TEST_P(SlowStartTest, AThirdSignalExitsAtOnceWith6) {
  ASSERT_NO_FATAL_FAILURE(Start("opener=hangs", {}));
  for (int i = 0; i < 3; ++i) Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(6)) << Output();
  EXPECT_THAT(Output(), HasSubstr("third signal: leaving at once"));
  EXPECT_THAT(Told(), IsEmpty());
}

TEST_P(SlowStartTest, TheWatchdogEndsOneHangingAfterASignal) {
  ASSERT_NO_FATAL_FAILURE(
      Start("opener=hangs", {"--termination_grace=1s", "--shutdown_reserve=800ms"}));
  Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(5)) << Output();
  EXPECT_THAT(Output(), HasSubstr("stuck in phase Starting; exit code 5\n"));
  EXPECT_THAT(Told(), IsEmpty());
}

const std::vector<std::string> kStages = {"files", "database", "channel", "pool", "server"};

INSTANTIATE_TEST_SUITE_P(AtEachStage, SlowStartTest, ::testing::ValuesIn(kStages),
                         [](const auto& info) { return info.param; });
INSTANTIATE_TEST_SUITE_P(AtTheLast, SlowStartTest, ::testing::Values("callers"),
                         [](const auto& info) { return info.param; });

class SlowStartThatFailsTest : public SlowStartTest {};

TEST_P(SlowStartThatFailsTest, IsRolledBackAsWithoutTheSignal) {
  ASSERT_NO_FATAL_FAILURE(Start("", {"--address=nowhere"}));
  Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(2)) << Output();
  EXPECT_THAT(Output(), HasSubstr("could not start: "));
  EXPECT_THAT(Told(),
              ElementsAre("CouldNotStart", "WorkersStopped", "Closed pool", kClosedInParallel,
                          kClosedInParallel, "Closed files", "Closed operators"))
      << Output();
}

INSTANTIATE_TEST_SUITE_P(AtEachStage, SlowStartThatFailsTest, ::testing::ValuesIn(kStages),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace process_test
