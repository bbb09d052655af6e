// Every signal that kills a process by default, sent to a real server: docs/operations.md has
// them in a table.
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/event_log.h"
#include "tests/common/eventually.h"
#include "tests/common/runfiles.h"
#include "tests/common/temp_dir.h"
#include "tests/process/echo_call.h"
#include "tests/process/faulty_server_uses.h"
#include "tests/process/server_under_test.h"

namespace process_test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using testkit::Ending;

class SignalsTest : public ServerUnderTest {
 protected:
  void Start(const std::string& faults = "") {
    std::vector<std::string> flags = kAllTheTime;
    flags.push_back("--fault=" + faults);
    ServerUnderTest::Start("tests/process/faulty_server", flags);
  }
};

TEST_F(SignalsTest, SighupIsAnInterrupt) {
  Start();
  process().Signal(SIGHUP);
  EXPECT_EQ(Wait(kFaultyUses), Ending::Exited(0)) << Output();
  EXPECT_THAT(Output(), HasSubstr("ShutdownRequested: interrupt"));
  EXPECT_THAT(EventNames(), Not(Contains("LameDuckEntered")));
}

TEST_F(SignalsTest, SigquitShowsCallsInFlightAndServingContinues) {
  Start("saver=hangs");
  const auto call = AcceptedEcho(kForEver);
  process().Signal(SIGQUIT);
  ASSERT_TRUE(process().AwaitOutput("in flight, in phase Serving: calls running: ", kLimit))
      << Output();
  ASSERT_TRUE(process().AwaitOutput("\nthread ", kLimit)) << Output();
  EXPECT_TRUE(Echo().ok());
  process().Signal(SIGINT);
  ASSERT_TRUE(process().AwaitOutput(" GoodbyeSaid", kLimit)) << Output();
  process().Signal(SIGQUIT);
  ASSERT_TRUE(process().AwaitOutput("in flight, in phase DrainingConnections: ", kLimit))
      << Output();
  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(kFaultyUses), Ending::Exited(4)) << Output();
}

// Every other one.
std::vector<int> WithoutMeaning() {
  std::vector<int> signals = {SIGPIPE, SIGUSR1, SIGUSR2,   SIGALRM, SIGVTALRM, SIGPROF,
                              SIGIO,   SIGPWR,  SIGSTKFLT, SIGXCPU, SIGXFSZ};
  for (int each = SIGRTMIN; each <= SIGRTMAX; ++each) signals.push_back(each);
  return signals;
}

TEST_F(SignalsTest, OtherSignalsKillNeitherServerNorDrain) {
  Start();
  for (const int each : WithoutMeaning()) process().Signal(each);
  const auto call = AcceptedEcho(/*sleep_ms=*/1000);
  process().Signal(SIGTERM);
  ASSERT_NO_FATAL_FAILURE(AwaitEvent("ShutdownRequested"));
  for (const int each : WithoutMeaning()) process().Signal(each);
  EXPECT_TRUE(call->Status().ok());
  EXPECT_EQ(Wait(kFaultyUses), Ending::Exited(0)) << Output();
}

TEST_F(SignalsTest, ASignalIsHeardWhileReadingFlags) {
  for (const int each : {SIGTERM, SIGINT, SIGHUP}) {
    const testkit::TempDir directory;
    const std::string pipe = directory.File("flags");
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    testkit::ChildProcess server(
        {testkit::RunfileOrDie("tests/process/faulty_server"), "--flagfile=" + pipe});
    int writer = -1;
    const auto is_read = [&] {
      writer = open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
      return writer >= 0 || server.Wait(std::chrono::milliseconds(0)) != Ending();
    };
    ASSERT_TRUE(testkit::Eventually(is_read) && writer >= 0) << server.Output();
    server.Signal(each);
    EXPECT_EQ(server.Wait(kLimit), Ending::Exited(0)) << server.Output();
    EXPECT_THAT(server.Output(), HasSubstr("stopped before anything was opened; exit code 0\n"));
    close(writer);
  }
}

}  // namespace
}  // namespace process_test
