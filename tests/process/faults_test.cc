// A real server in which one part misbehaves: the shutdown ends inside its grace all the
// same, names what was stuck, says so in its exit code, and saves and closes the rest.
// docs/operations.md has them in a table.
#include <signal.h>

#include <chrono>
#include <cstddef>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "client/error_details.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/grpc_version.h"
#include "tests/common/child_process.h"
#include "tests/common/event_log.h"
#include "tests/common/eventually.h"
#include "tests/common/order_rules.h"
#include "tests/common/runfiles.h"
#include "tests/common/sanitized.h"
#include "tests/common/temp_dir.h"
#include "tests/process/echo_call.h"
#include "tests/process/faulty_server_uses.h"
#include "tests/process/held_call.h"
#include "tests/process/open_stream.h"
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using std::chrono::steady_clock;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsSupersetOf;
using ::testing::Not;
using testkit::Ending;

// Long enough for whoever behaves on a busy machine, and short where something is
// waited for in vain.
// What the shares leave is the reserve, at half of which the watchdog ends the process: on a busy
// machine the exit takes its time, too, after a closer that has used up all of its own.
constexpr std::chrono::seconds kGrace{10};
const std::vector<std::string> kBudget = {
    "--termination_grace=10s",
    "--shutdown_lame_duck=10ms",
    "--shutdown_drain_connections=100ms",
    "--shutdown_drain_calls=100ms",
    testkit::kSanitized ? "--shutdown_cancel_calls=1600ms" : "--shutdown_cancel_calls=600ms",
    "--shutdown_stop_workers=600ms",
    "--shutdown_save_state=600ms",
    "--shutdown_close_resources=3s"};

// The watchdog begins the exit in time. A busy machine may be slow at it, and a sanitizer looks through
// all memory.
constexpr std::chrono::seconds kExit{testkit::kSanitized ? 5 : 1};

class FaultsTest : public ServerUnderTest {
 protected:
  // `faults`: as faulty_server.cc has them.
  void Start(const std::string& faults, std::vector<std::string> flags = kBudget,
             std::vector<std::string> under = {}) {
    flags.push_back("--fault=" + faults);
    ServerUnderTest::Start("tests/process/faulty_server", flags, under);
  }

  // Waits for the end of a shutdown that was asked for now, or with `signalled`.
  Ending Await(steady_clock::time_point signalled, std::chrono::milliseconds grace = kGrace) {
    const Ending ending = Wait(kFaultyUses);
    EXPECT_LT(steady_clock::now() - signalled, grace + kExit) << Output();
    return ending;
  }

  Ending Stop(std::chrono::milliseconds grace = kGrace) {
    const auto signalled = steady_clock::now();
    process().Signal(SIGTERM);
    return Await(signalled, grace);
  }

  // A caller of the one that --fault=second=... brings.
  std::unique_ptr<bench::Bench::Stub> SecondServer() {
    const std::string before = "the second server listens on ";
    EXPECT_TRUE(process().AwaitOutput(before, kLimit)) << Output();
    const std::string output = Output();
    const std::size_t begin = output.find(before) + before.size();
    return bench::Bench::NewStub(
        rpc::NewConnection(output.substr(begin, output.find('\n', begin) - begin)));
  }

  // What was told without a warning, and with one: "Closed pool".
  std::vector<std::string> Told(bool ok) {
    std::vector<std::string> told;
    for (const testkit::LoggedEvent& event : testkit::EventsIn(Output())) {
      if (event.ok != ok) continue;
      told.push_back(event.name + (event.subject.empty() ? "" : " " + event.subject) +
                     (ok || event.detail.empty() ? "" : ": " + event.detail));
    }
    return told;
  }
};

const std::vector<std::string> kSaved = {"StateSaved saver"};
const std::vector<std::string> kClosed = {"Closed pool", "Closed channel", "Closed database",
                                          "Closed files", "Closed operators"};
// Of AcceptedEcho().
constexpr char kCut[] = "CallsCut: 1 calls still ran (1 /bench.Bench/Echo)";
constexpr char kAbandoned[] = "ServerAbandoned: 1 calls did not end (1 /bench.Bench/Echo)";
// What an entry, a saver or a worker is told of that did not end.
constexpr char kLate[] = "DEADLINE_EXCEEDED: did not return in time";

TEST_F(FaultsTest, ACallThatRunsForHoursIsCancelled) {
  Start("");
  const auto call = AcceptedEcho(/*sleep_ms=*/3'600'000);
  EXPECT_EQ(Stop(), Ending::Exited(3)) << Output();
  EXPECT_THAT(Told(false), ElementsAre(kCut));
  EXPECT_THAT(Told(true), Contains("ServerStopped"));
  EXPECT_EQ(call->Status().error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(Told(true), IsSupersetOf(kSaved));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, ACallThatNeverFinishesIsGivenUp) {
  Start("");
  const auto call = AcceptedEcho(kForEver);
  EXPECT_EQ(Stop(), Ending::Exited(3)) << Output();
  EXPECT_THAT(Told(false), ElementsAre(kCut, kAbandoned));
  EXPECT_FALSE(call->Status().ok());
  EXPECT_THAT(Told(true), IsSupersetOf(kSaved));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, HandlersBlockingEveryGrpcThreadAreGivenUp) {
  Start("handler=hangs");
  ASSERT_TRUE(Echo().ok());
  // gRPC has 16 such threads at most; more calls than that never reach a handler. Newer gRPC hands
  // over one call of a connection after the other.
  std::vector<std::unique_ptr<OpenStream>> streams;
  for (int i = 0; i < 20; ++i) {
    streams.push_back(std::make_unique<OpenStream>(rpc::NewConnection(address()),
                                                   "/bench.Bench/Watch", "", kLimit));
  }
  if (rpc::kRunsOutOfThreads) {
    // On a busy machine it may have said that they are busy, and says no more for a minute.
    ASSERT_TRUE(process().AwaitOutput(" W faulty: gRPC's threads have been blocked for a second",
                                      std::chrono::seconds(90)))
        << Output();
    ASSERT_TRUE(process().AwaitOutput("BenchService", kLimit)) << Output();  // In a stack.
    // The first call still counts if no thread was left to note its end.
    EXPECT_THAT(Output(), ::testing::ContainsRegex("In flight: (1 /bench.Bench/Echo, )?[0-9]+ "
                                                   "/bench.Bench/Watch\n"));
  } else {
    ASSERT_TRUE(process().AwaitOutput("handler hangs", kLimit)) << Output();
    EXPECT_TRUE(Echo().ok());
  }
  EXPECT_EQ(Stop(), Ending::Exited(3)) << Output();
  EXPECT_THAT(Told(false), ElementsAre(HasSubstr("CallsCut"), HasSubstr("ServerAbandoned")));
  EXPECT_THAT(Told(true), IsSupersetOf(kSaved));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, TheWatchdogEndsAHangingGoodbye) {
  Start("goodbye=hangs", {"--termination_grace=4s", "--shutdown_reserve=2s"});
  EXPECT_EQ(Stop(std::chrono::seconds(4)), Ending::Exited(5)) << Output();
  EXPECT_THAT(Output(),
              HasSubstr("watchdog: the shutdown has spent its grace of 4s; stuck in phase "
                        "DrainingConnections; exit code 5\n"));
  EXPECT_THAT(Told(true), Not(Contains("StateSaved saver")));
}

// The shutdown's own lines bypass it.
TEST_F(FaultsTest, AStuckLogBlocksOnlyThoseWhoLog) {
  Start("log=hangs", kBudget);
  EXPECT_EQ(Stop(), Ending::Exited(4)) << Output();
  EXPECT_THAT(Told(false), ElementsAre(HasSubstr("SaveFailed saver")));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

// There is one thread for each of these already, or it can be done without.
TEST_F(FaultsTest, AShutdownNeedsNoNewThread) {
  const testkit::TempDir directory;
  const std::string report = directory.File("report");
  std::vector<std::string> flags = kBudget;
  flags.push_back("--shutdown_report=" + report);
  Start("threads=none", flags);
  const auto stream = Open("/bench.Bench/Watch");
  ASSERT_TRUE(process().AwaitOutput("no more threads", kLimit)) << Output();
  EXPECT_EQ(Stop(), Ending::Exited(0)) << Output();
  EXPECT_THAT(Told(false), ElementsAre());
  EXPECT_THAT(Told(true), IsSupersetOf(kSaved));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
  std::string written;
  std::getline(std::ifstream(report), written);
  EXPECT_THAT(written, HasSubstr("\"exit_code\":0"));
}

TEST_F(FaultsTest, ThrowingPoolWorkStartsAGracefulShutdown) {
  Start("work=throws");
  const auto asked = steady_clock::now();
  const auto stream = Open("/bench.Bench/Watch");
  EXPECT_EQ(Await(asked), Ending::Exited(3)) << Output();
  EXPECT_EQ(client::ErrorReason(client::FromGrpc(stream->Finish())), "SERVER_DRAINING");
  EXPECT_THAT(Told(true), IsSupersetOf({"LameDuckEntered", "GoodbyeSaid", "CallsFinished"}));
  EXPECT_THAT(Told(false), ElementsAre("WorkerFailed work: INTERNAL: threw: as it was told to"));
  EXPECT_THAT(Told(true), IsSupersetOf(kSaved));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, ExitInAHandlerEndsWithAMessage) {
  Start("handler=exits");
  const auto stream = Open("/bench.Bench/Watch");
  EXPECT_EQ(process().Wait(kLimit), Ending::Exited(7)) << Output();
  EXPECT_THAT(Output(), HasSubstr("this handler calls exit()\n"));
  EXPECT_THAT(Output(), HasSubstr("unplanned end: exit() was called while main was running\n"));
  EXPECT_THAT(Output(), HasSubstr("\"exit_code\":7"));
}

TEST_F(FaultsTest, TheWatchdogEndsAHangingStaticDestructor) {
  Start("static=hangs", {"--termination_grace=8s", "--shutdown_reserve=2s",
                         "--shutdown_close_resources=1s", "--shutdown_lame_duck=0"});
  EXPECT_EQ(Stop(std::chrono::seconds(8)), Ending::Exited(5)) << Output();
  EXPECT_THAT(Output(), HasSubstr("stuck after main; exit code 5\n"));
  EXPECT_THAT(Told(false), ElementsAre());
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, AThirdSignalEndsAStaticDestructor) {
  Start("static=hangs", kAllTheTime);
  process().Signal(SIGINT);
  ASSERT_TRUE(process().AwaitOutput("static hangs", kLimit)) << Output();
  process().SignalAtOnce({SIGHUP, SIGINT});
  EXPECT_EQ(process().Wait(kLimit), Ending::Exited(6)) << Output();
}

TEST_F(FaultsTest, MoreThanAThousandEntriesAreClosed) {
  Start("", {"--termination_grace=30s", "--shutdown_lame_duck=0", "--more_entries=1200"});
  EXPECT_EQ(Stop(std::chrono::seconds(30)), Ending::Exited(0)) << Output();
  EXPECT_THAT(Told(true), ::testing::SizeIs(::testing::Gt(1200u)));
}

// Whatever hangs, the platform never gets to kill. On a busy machine it may be late by
// itself; not time and again.
class GraceTest : public FaultsTest, public ::testing::WithParamInterface<int> {};

TEST_P(GraceTest, IsNeverExceeded) {
  const std::chrono::seconds grace(GetParam());
  std::chrono::nanoseconds took{};
  for (int tries = 0; tries < 5; ++tries) {
    Start(
        "worker=hangs,saver=hangs,pool=hangs,database=hangs,channel=hangs,files=hangs,"
        "destructor=hangs,log=hangs",
        {"--termination_grace=" + std::to_string(GetParam()) + "s"});
    const auto call = AcceptedEcho(kForEver);
    const auto signalled = steady_clock::now();
    process().Signal(SIGTERM);
    EXPECT_THAT(process().Wait(kLimit), AnyOf(Ending::Exited(4), Ending::Exited(5))) << Output();
    took = steady_clock::now() - signalled;
    if (took < grace) return;
  }
  FAIL() << "it took " << took.count() / 1'000'000 << " ms of " << grace.count() << " s";
}

INSTANTIATE_TEST_SUITE_P(OfSoManySeconds, GraceTest, ::testing::Values(1, 2, 4, 8));

TEST_F(FaultsTest, AWorkerThatThrowsIsNamed) {
  Start("worker=throws");
  EXPECT_EQ(Stop(), Ending::Exited(3)) << Output();
  EXPECT_THAT(Told(false), ElementsAre("WorkerFailed worker: INTERNAL: threw: as it was told to"));
  EXPECT_THAT(Told(true), IsSupersetOf(kSaved));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, AWorkerThatDiesStartsAGracefulShutdown) {
  Start("worker=dies");
  const auto asked = steady_clock::now();
  const auto stream = Open("/bench.Bench/Watch");
  EXPECT_EQ(Await(asked), Ending::Exited(3)) << Output();
  EXPECT_EQ(client::ErrorReason(client::FromGrpc(stream->Finish())), "SERVER_DRAINING");
  EXPECT_THAT(Told(true), IsSupersetOf({"LameDuckEntered", "GoodbyeSaid", "CallsFinished"}));
  EXPECT_THAT(Output(), HasSubstr("ShutdownRequested: failure: worker INTERNAL: threw: as it was"));
  EXPECT_THAT(Told(false), ElementsAre("WorkerFailed worker: INTERNAL: threw: as it was told to"));
  EXPECT_THAT(Told(true), IsSupersetOf(kSaved));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, AWorkerThatNeverEndsIsLeftBehind) {
  Start("worker=hangs");
  EXPECT_EQ(Stop(), Ending::Exited(3)) << Output();
  EXPECT_THAT(Told(false), ElementsAre(HasSubstr("WorkerFailed worker: DEADLINE_EXCEEDED")));
  EXPECT_THAT(Told(true), IsSupersetOf(kSaved));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, AWorkerIsNamedWhileItHoldsTheShutdown) {
  Start("worker=hangs", kAllTheTime);
  process().Signal(SIGINT);
  ASSERT_NO_FATAL_FAILURE(AwaitEvent("ServerStopped"));
  // The next phase is about to begin.
  EXPECT_TRUE(testkit::Eventually([this] {
    process().Signal(SIGQUIT);
    return process().AwaitOutput("in flight, in phase StoppingWorkers: workers: worker\n",
                                 std::chrono::seconds(1));
  })) << Output();
  process().SignalAtOnce({SIGINT, SIGTERM});
  EXPECT_EQ(Wait(kFaultyUses), Ending::Exited(6)) << Output();
}

TEST_F(FaultsTest, ASaverThatFailsIsNamed) {
  Start("saver=fails");
  EXPECT_EQ(Stop(), Ending::Exited(4)) << Output();
  EXPECT_THAT(Told(false), ElementsAre("SaveFailed saver: DATA_LOSS: as it was told to"));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, ASaverThatThrowsIsNamed) {
  Start("saver=throws");
  EXPECT_EQ(Stop(), Ending::Exited(4)) << Output();
  EXPECT_THAT(Told(false), ElementsAre("SaveFailed saver: INTERNAL: threw: as it was told to"));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, ASaverThatHangsIsPassedOver) {
  Start("saver=hangs");
  EXPECT_EQ(Stop(), Ending::Exited(4)) << Output();
  EXPECT_THAT(Told(false), ElementsAre(std::string("SaveFailed saver: ") + kLate));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, ACloserThatFailsIsNamed) {
  Start("database=fails");
  EXPECT_EQ(Stop(), Ending::Exited(4)) << Output();
  EXPECT_THAT(Told(false), ElementsAre("CloseFailed database: DATA_LOSS: as it was told to"));
  EXPECT_THAT(Told(true),
              IsSupersetOf({"StateSaved saver", "Closed pool", "Closed channel", "Closed files"}));
}

TEST_F(FaultsTest, ACloserThatThrowsIsNamed) {
  Start("database=throws");
  EXPECT_EQ(Stop(), Ending::Exited(4)) << Output();
  EXPECT_THAT(Told(false), ElementsAre("CloseFailed database: INTERNAL: threw: as it was told to"));
  EXPECT_THAT(Told(true),
              IsSupersetOf({"StateSaved saver", "Closed pool", "Closed channel", "Closed files"}));
}

TEST_F(FaultsTest, PassesOverACloserStuckInTheKernel) {
  Start("database=hangs");
  EXPECT_EQ(Stop(), Ending::Exited(4)) << Output();
  EXPECT_THAT(Told(false), ElementsAre(std::string("CloseFailed database: ") + kLate));
  EXPECT_THAT(Told(true),
              IsSupersetOf({"StateSaved saver", "Closed pool", "Closed channel", "Closed files"}));
}

TEST_F(FaultsTest, ACloserGetsAllUnneededTime) {
  // Nobody is connected; its own share would be 2 s.
  for (const int signal : {SIGTERM, SIGINT}) {
    Start("database=slow", {"--termination_grace=30s", "--shutdown_lame_duck=0"});
    process().Signal(signal);
    EXPECT_EQ(Wait(kFaultyUses), Ending::Exited(0)) << Output();
    EXPECT_THAT(Told(true), Contains("Closed database"));
  }
}

TEST_F(FaultsTest, ASecondServerIsDrainedWithTheFirst) {
  Start("second=drained", {"--termination_grace=30s", "--shutdown_lame_duck=0"});
  const std::unique_ptr<bench::Bench::Stub> second = SecondServer();
  const auto call = AcceptedHold();
  HeldCall other(*second, kLimit);
  EXPECT_TRUE(EchoCall(*second, 0, kLimit).Status().ok());
  const auto signalled = steady_clock::now();
  process().Signal(SIGTERM);
  AwaitEvent("GoodbyeSaid");
  for (HeldCall* const held : {call.get(), &other}) {
    const grpc::Status status = held->Release();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_EQ(Await(signalled, std::chrono::seconds(30)), Ending::Exited(0)) << Output();
  // The two that say that these are accepted may still be on their way out.
  EXPECT_THAT(Output(), ::testing::ContainsRegex("\"calls\":\\{\"finished\":[234],"));
}

TEST_F(FaultsTest, AServerWithoutShutdownReportsItsCuts) {
  Start("second=forgotten");
  const std::unique_ptr<bench::Bench::Stub> second = SecondServer();
  EchoCall call(*second, /*sleep_ms=*/3'600'000, kLimit);
  EXPECT_TRUE(EchoCall(*second, 0, kLimit).Status().ok());
  process().Signal(SIGTERM);
  EXPECT_EQ(process().Wait(kLimit), Ending::Exited(7)) << Output();
  EXPECT_THAT(Output(),
              HasSubstr("a server that accepts callers was destroyed without a shutdown"));
  EXPECT_THAT(Output(), HasSubstr("\"exit_code\":7"));
}

TEST_F(FaultsTest, TheWatchdogEndsAHangingDestructorOfMain) {
  // What comes before the destructor has most of the time, on a busy machine, too.
  Start("destructor=hangs", {"--termination_grace=8s", "--shutdown_reserve=2s",
                             "--shutdown_close_resources=1s", "--shutdown_lame_duck=0"});
  EXPECT_EQ(Stop(std::chrono::seconds(8)), Ending::Exited(5)) << Output();
  EXPECT_THAT(Output(),
              HasSubstr("watchdog: the shutdown has spent its grace of 8s; stuck after the "
                        "shutdown, in main; exit code 5\n"));
  EXPECT_THAT(Told(false), ElementsAre());
  EXPECT_THAT(Told(true), IsSupersetOf(kSaved));
  EXPECT_THAT(Told(true), IsSupersetOf(kClosed));
}

TEST_F(FaultsTest, WhenEverythingHangsEachIsNamed) {
  Start("worker=hangs,saver=hangs,pool=hangs,database=hangs,channel=hangs,files=hangs");
  const auto call = AcceptedEcho(kForEver);
  EXPECT_EQ(Stop(), Ending::Exited(4)) << Output();
  const std::string late = kLate;
  std::vector<std::string> told = Told(false);
  // The last one would end in time, but the others leave a busy machine little of it.
  std::erase(told, "CloseFailed operators: " + late);
  EXPECT_THAT(told,
              ElementsAre(kCut, kAbandoned, HasSubstr("WorkerFailed worker: DEADLINE_EXCEEDED"),
                          "SaveFailed saver: " + late, "CloseFailed pool: " + late,
                          // Side by side.
                          AnyOf("CloseFailed database: " + late, "CloseFailed channel: " + late),
                          AnyOf("CloseFailed database: " + late, "CloseFailed channel: " + late),
                          "CloseFailed files: " + late));
}

TEST_F(FaultsTest, ASecondSignalExpeditesWhateverHangs) {
  // Nothing but the signal ends a wait in the time of a test.
  Start("worker=hangs,saver=hangs,pool=hangs", kAllTheTime);
  const auto call = AcceptedEcho(kForEver);
  const auto signalled = steady_clock::now();
  process().Signal(SIGTERM);
  ASSERT_TRUE(process().AwaitOutput(" GoodbyeSaid", kLimit)) << Output();
  process().Signal(SIGINT);
  EXPECT_EQ(Await(signalled, kLimit), Ending::Exited(4)) << Output();
  EXPECT_THAT(Told(false),
              IsSupersetOf({HasSubstr("WorkerFailed worker"), HasSubstr("SaveFailed saver"),
                            HasSubstr("CloseFailed pool")}));
}

TEST_F(FaultsTest, AThirdSignalExitsAtOnceWhateverHangs) {
  Start("saver=hangs", kAllTheTime);
  const auto signalled = steady_clock::now();
  process().Signal(SIGINT);
  ASSERT_TRUE(process().AwaitOutput("saver hangs", kLimit)) << Output();
  process().SignalAtOnce({SIGINT, SIGTERM});
  EXPECT_EQ(Await(signalled, kLimit), Ending::Exited(6)) << Output();
  EXPECT_THAT(Output(),
              HasSubstr("third signal: leaving at once, nothing more is saved or closed\n"));
}

// A start that fails when everything is open: its port file cannot be written.
class HalfAStartTest : public ::testing::Test {
 protected:
  // Only how long a broken test takes to fail.
  static constexpr std::chrono::seconds kLimit{40};

  Ending Run(const std::string& faults) {
    std::vector<std::string> command = {testkit::RunfileOrDie("tests/process/faulty_server"),
                                        "--address=127.0.0.1:0", "--port_file=/nowhere/port",
                                        "--fault=" + faults};
    command.insert(command.end(), kBudget.begin(), kBudget.end());
    testkit::ChildProcess server(command);
    const auto started = steady_clock::now();
    const Ending ending = testkit::AwaitShutdown(server, kLimit, kFaultyUses);
    EXPECT_LT(steady_clock::now() - started, kGrace + kExit);
    output_ = server.Output();
    EXPECT_THAT(
        output_,
        HasSubstr("could not start: cannot write /nowhere/port: there is no directory /nowhere"));
    return ending;
  }

  std::string output_;
};

TEST_F(HalfAStartTest, IsRolledBack) {
  EXPECT_EQ(Run(""), Ending::Exited(2)) << output_;
  EXPECT_THAT(testkit::EventNamesIn(output_),
              ElementsAre("CouldNotStart", "WorkersStopped", "Closed", "Closed", "Closed", "Closed",
                          "Closed"));
}

TEST_F(HalfAStartTest, IsRolledBackEvenWhenItThrows) {
  testkit::ChildProcess server({testkit::RunfileOrDie("tests/process/faulty_server"),
                                "--address=127.0.0.1:0", "--fault=start=server,opener=throws"});
  EXPECT_EQ(testkit::AwaitShutdown(server, kLimit, kFaultyUses), Ending::Exited(2))
      << server.Output();
  EXPECT_THAT(server.Output(), HasSubstr("could not start: uncaught exception: as it was told to"));
  EXPECT_THAT(testkit::EventNamesIn(server.Output()),
              ElementsAre("CouldNotStart", "WorkersStopped", "Closed", "Closed", "Closed", "Closed",
                          "Closed"));
}

TEST_F(HalfAStartTest, IsRolledBackAroundWhatHangs) {
  EXPECT_EQ(Run("worker=hangs,database=hangs"), Ending::Exited(2)) << output_;
  EXPECT_THAT(testkit::EventNamesIn(output_),
              ::testing::UnorderedElementsAre("CouldNotStart", "WorkerFailed", "Closed",
                                              "CloseFailed", "Closed", "Closed", "Closed"));
  EXPECT_THAT(output_, HasSubstr("CloseFailed \"database\": DEADLINE_EXCEEDED"));
}

}  // namespace
}  // namespace process_test
