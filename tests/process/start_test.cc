// A real server that cannot start, or is told to stop before it has: one line that
// says why, and an exit code.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/event_log.h"
#include "tests/common/runfiles.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"

namespace process_test {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using testkit::ChildProcess;
using testkit::Ending;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{40};

std::vector<std::string> EchoServer(const std::vector<std::string>& flags) {
  std::vector<std::string> command = {testkit::RunfileOrDie("tests/bench/echo_server")};
  command.insert(command.end(), flags.begin(), flags.end());
  return command;
}

// Beside the events in its log, and its report.
MATCHER(IsOneLine, "is one line") {
  const auto lines = static_cast<std::size_t>(std::count(arg.begin(), arg.end(), '\n'));
  const std::size_t report = arg.find(": drain report: {") == std::string::npos ? 0 : 1;
  return lines == testkit::EventsIn(arg).size() + report + 1 && arg.back() == '\n';
}

TEST(StartTest, ASecondServerOnTheSamePortSaysSoInOneLineAndExitsWith2) {
  const auto first = testkit::ServerProcess::Start({.binary = "tests/bench/echo_server"});
  ASSERT_TRUE(first.ok()) << first.status();
  ChildProcess second(EchoServer({"--address=" + (*first)->address()}));
  EXPECT_EQ(second.Wait(kLimit), Ending::Exited(2));
  EXPECT_THAT(second.Output(), AllOf(IsOneLine(), HasSubstr((*first)->address())));
  EXPECT_EQ((*first)->process().Wait(std::chrono::milliseconds(0)), Ending());
}

TEST(StartTest, AnAdminAddressThatIsInUseSaysSoInOneLineAndExitsWith2) {
  const auto first = testkit::ServerProcess::Start({.binary = "tests/bench/echo_server"});
  ASSERT_TRUE(first.ok()) << first.status();
  ChildProcess second(
      EchoServer({"--address=127.0.0.1:0", "--admin_address=" + (*first)->address()}));
  EXPECT_EQ(second.Wait(kLimit), Ending::Exited(2));
  EXPECT_THAT(second.Output(), AllOf(IsOneLine(), HasSubstr((*first)->address())));
}

TEST(StartTest, AnAddressThatIsNoneSaysSoInOneLineAndExitsWith2) {
  ChildProcess server(EchoServer({"--address=nowhere"}));
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(2));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr("nowhere")));
}

TEST(StartTest, APortFileThatCannotBeWrittenSaysSoInOneLineAndExitsWith2) {
  const testkit::TempDir directory;
  const std::string path = directory.File("missing") + "/port";
  ChildProcess server(EchoServer({"--address=127.0.0.1:0", "--port_file=" + path}));
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(2));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr(path)));
}

TEST(StartTest, AnUnknownFlagSaysSoInOneLineAndExitsWith1) {
  ChildProcess server(EchoServer({"--no_such_flag=1"}));
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr("no_such_flag")));
}

TEST(StartTest, AWordThatIsNoFlagSaysSoInOneLineAndExitsWith1) {
  ChildProcess server(EchoServer({"please"}));
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr("please")));
}

TEST(StartTest, ABudgetThatDoesNotFitSaysSoInOneLineAndExitsWith1) {
  ChildProcess server(EchoServer({"--termination_grace=1s", "--stop_calls=2s"}));
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr("1s"), HasSubstr("2s")));
}

TEST(StartTest, ASignalAtAnyMomentOfTheStartEndsTheServer) {
  for (int ms = 0; ms < 30; ++ms) {
    const testkit::TempDir directory;
    const std::string port_file = directory.File("port");
    ChildProcess server(EchoServer({"--address=127.0.0.1:0", "--port_file=" + port_file,
                                    "--termination_grace=1h", "--stop_least_lame_duck=0"}));
    server.Wait(std::chrono::milliseconds(ms));
    server.Signal(SIGTERM);
    // Before main() can take a signal it ends the process as it ends any.
    EXPECT_THAT(server.Wait(kLimit), AnyOf(Ending::Exited(0), Ending::Killed(SIGTERM)))
        << "after " << ms << " ms: " << server.Output();
    // Callers that could find it are led away, as always; otherwise there are none.
    const std::vector<std::string> events = testkit::EventNamesIn(server.Output());
    const auto happened = [&](const std::string& event) {
      return std::find(events.begin(), events.end(), event) != events.end();
    };
    const bool found = std::filesystem::exists(port_file);
    EXPECT_EQ(happened("Serving"), found) << "after " << ms << " ms: " << server.Output();
    EXPECT_EQ(happened("LameDuckEntered"), found) << "after " << ms << " ms: " << server.Output();
  }
}

}  // namespace
}  // namespace process_test
