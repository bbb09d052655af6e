// What real servers report of their stops, however these end: a file and the last line
// of the log, which are the same and keep to docs/shutdown_report.schema.json.

#include "client/shutdown_report.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <future>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "admin/v1/admin.grpc.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "report/v1/shutdown_report.pb.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/raw_peer.h"
#include "tests/common/child_process.h"
#include "tests/common/eventually.h"
#include "tests/common/order_rules.h"
#include "tests/common/runfiles.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/common/unread_pipe.h"
#include "tests/process/echo_call.h"
#include "tests/process/open_stream.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using testkit::ChildProcess;
using testkit::Ending;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{60};

class ShutdownReportTest : public ::testing::Test {
 protected:
  void StartEcho(std::vector<std::string> flags) {
    flags.push_back("--shutdown_report=" + path_);
    flags.push_back("--shutdown_lame_duck=0");
    auto server =
        testkit::ServerProcess::Start({.binary = "tests/servers/echo/echo_server", .flags = flags});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = rpc::NewConnection(server_->address());
  }

  // A server of which the fault is known, and whose watchdog has time for its words.
  void StartFaulty(const std::string& fault, std::vector<std::string> under = {}) {
    auto server = testkit::ServerProcess::Start(
        {.binary = "tests/process/faulty_server",
         .flags = {"--fault=" + fault, "--shutdown_report=" + path_, "--termination_grace=4s",
                   "--shutdown_reserve=2s", "--shutdown_lame_duck=0"},
         .under = std::move(under)});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  // A server of which the fault is known, stopped by SIGTERM if it has started.
  Ending StopFaulty(const std::string& fault, const std::string& port_file) {
    // A reserve that a busy machine writes a report in, and a close for who behaves.
    faulty_ = std::make_unique<ChildProcess>(std::vector<std::string>{
        testkit::RunfileOrDie("tests/process/faulty_server"), "--address=127.0.0.1:0",
        "--port_file=" + port_file, "--fault=" + fault, "--shutdown_report=" + path_,
        "--termination_grace=5s", "--shutdown_reserve=1100ms", "--shutdown_close_resources=2s",
        "--shutdown_lame_duck=0"});
    faulty_->AwaitOutput(" Serving\n", kLimit);
    faulty_->Signal(SIGTERM);
    return faulty_->Wait(kLimit);
  }
  Ending StopFaulty(const std::string& fault) { return StopFaulty(fault, directory_.File("port")); }

  // The report in the file and the log, when all is well with it.
  report::v1::ShutdownReport ReportOf(ChildProcess& process) {
    testkit::AwaitShutdown(process, kLimit);
    EXPECT_THAT(process.Output(), ::testing::EndsWith(": shutdown report: " + Json()));
    return ReportInFile(process);
  }

  std::string Json() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  report::v1::ShutdownReport ReportInFile(ChildProcess& process) {
    const std::string json = Json();
    ChildProcess validator({testkit::RunfileOrDie("tests/common/validate_json.py"),
                            testkit::RunfileOrDie("docs/shutdown_report.schema.json"), path_});
    EXPECT_EQ(validator.Wait(kLimit), Ending::Exited(0)) << validator.Output() << json;
    report::v1::ShutdownReport report;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(json, &report).ok()) << json;
    EXPECT_EQ(process.Wait(kLimit), Ending::Exited(static_cast<int>(report.exit_code())));
    EXPECT_TRUE(report.exit_code() != 0 || IsClean(report)) << json;
    return report;
  }

  // Nothing was cut off, failed or left.
  static bool IsClean(const report::v1::ShutdownReport& report) {
    const auto all = [](const auto& of, const auto& is) {
      return std::all_of(of.begin(), of.end(), is);
    };
    return report.calls().left() == 0 && report.streams().cut() == 0 &&
           all(report.phases(),
               [](const auto& phase) { return phase.ended() && !phase.forced(); }) &&
           all(report.events(), [](const auto& event) { return event.ok(); }) &&
           all(report.savers(), [](const auto& saver) { return saver.result() == "saved"; }) &&
           all(report.closers(), [](const auto& closer) { return closer.result() == "closed"; });
  }

  static std::vector<std::string> PhasesOf(const report::v1::ShutdownReport& report) {
    std::vector<std::string> names;
    std::int64_t end = report.phases_size() > 0 ? report.phases(0).start_ms() : 0;
    for (const auto& phase : report.phases()) {
      names.emplace_back(phase.name());
      EXPECT_EQ(phase.start_ms(), end) << phase.name();
      end = std::int64_t{phase.start_ms()} + phase.took_ms();
    }
    EXPECT_EQ(end, report.took_ms());
    return names;
  }

  // "database hung", ... in order.
  static std::vector<std::string> ClosersOf(const report::v1::ShutdownReport& report) {
    std::vector<std::string> results;
    for (const auto& closer : report.closers()) {
      results.push_back(std::string(closer.name()) + " " + std::string(closer.result()));
    }
    return results;
  }

  const testkit::TempDir directory_;
  const std::string path_ = directory_.File("report.json");
  std::unique_ptr<testkit::ServerProcess> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<ChildProcess> faulty_;
};

TEST_F(ShutdownReportTest, DescribesACleanShutdown) {
  StartEcho({"--termination_grace=1h"});
  const auto chat = std::make_unique<OpenStream>(channel_, "/bench.Bench/Chat", "", kLimit);
  ASSERT_TRUE(chat->Read().has_value());
  server_->process().Signal(SIGTERM);
  EXPECT_EQ(server_->process().Wait(kLimit), Ending::Exited(0));
  const report::v1::ShutdownReport report = ReportOf(server_->process());
  EXPECT_EQ(report.program(), "echo");
  EXPECT_EQ(report.reason(), "terminate");
  EXPECT_EQ(report.grace_ms(), 3600000U);
  EXPECT_THAT(PhasesOf(report),
              ElementsAre("LameDuck", "DrainingConnections", "DrainingCalls", "CancellingCalls",
                          "StoppingWorkers", "SavingState", "ClosingResources", "Stopped"));
  for (const auto& phase : report.phases()) {
    EXPECT_TRUE(phase.ended()) << phase.name();
    EXPECT_FALSE(phase.forced()) << phase.name();
    EXPECT_EQ(phase.budget_ms() > 0U, phase.name() != "LameDuck") << phase.name();
  }
  ASSERT_EQ(report.calls().methods_size(), 1);
  EXPECT_EQ(report.calls().methods(0).method(), "/bench.Bench/Chat");
  EXPECT_EQ(report.calls().finished(), 1U);
  EXPECT_EQ(report.streams().ended(), 1U);
  EXPECT_EQ(report.streams().cut(), 0U);
}

TEST_F(ShutdownReportTest, DescribesAManualDrainBeforeTheShutdown) {
  StartEcho({"--termination_grace=1h", "--admin_address=127.0.0.1:0",
             "--admin_port_file=" + directory_.File("admin")});
  // Before it, there is nothing to drain.
  ASSERT_TRUE(server_->process().AwaitOutput(" Serving", kLimit));
  std::string address;
  std::ifstream(directory_.File("admin")) >> address;
  const auto admin = admin::v1::AdminService::NewStub(rpc::NewConnection(address));
  // It stays when it is asked to leave.
  std::optional<rpc::RawPeer> caller(std::in_place, server_->address());
  ASSERT_TRUE(caller->AwaitAnswer(caller->Call("/bench.Bench/Echo", "")));
  // Its caller has the answer a little before it counts as ended.
  ASSERT_TRUE(testkit::Eventually([&admin] {
    admin::v1::GetStateResponse response;
    const grpc::Status status = admin->GetState(rpc::Bounded().get(), {}, &response);
    return status.ok() && response.state().calls() == 0;
  }));
  {
    grpc::ClientContext context;
    const auto drain = admin->Drain(&context, {});
    ASSERT_TRUE(server_->process().AwaitOutput(" LameDuckEntered", kLimit));
    ASSERT_TRUE(caller->AwaitAnswer(caller->Call("/bench.Bench/Echo", "")));
    caller.reset();
    admin::v1::DrainResponse response;
    while (drain->Read(&response)) continue;
    EXPECT_TRUE(drain->Finish().ok());
  }
  server_->process().Signal(SIGTERM);
  EXPECT_EQ(server_->process().Wait(kLimit), Ending::Exited(0));
  const report::v1::ShutdownReport report = ReportOf(server_->process());
  EXPECT_EQ(report.reason(), "terminate");
  EXPECT_THAT(PhasesOf(report),
              ElementsAre("LameDuck", "DrainingConnections", "DrainingCalls", "CancellingCalls",
                          "StoppingWorkers", "SavingState", "ClosingResources", "Stopped"));
  EXPECT_LT(report.phases(0).start_ms(), 0);
  EXPECT_LT(report.phases(1).start_ms(), 0);
  EXPECT_FALSE(report.phases(1).has_budget_ms());
  EXPECT_EQ(report.events(0).name(), "ManualDrainRequested");
  EXPECT_EQ(report.calls().finished(), 1U);
  EXPECT_THAT(ClosersOf(report), ElementsAre("admin server closed"));
}

TEST_F(ShutdownReportTest, ComesBehindTheCountOfCallsThatWereNotLogged) {
  StartEcho({"--termination_grace=1h", "--access_log", "--access_log_per_second=1"});
  const auto stub = bench::Bench::NewStub(channel_);
  constexpr int kCalls = 100;
  for (int i = 0; i < kCalls; ++i) ASSERT_TRUE(EchoCall(*stub, 0, kLimit).Status().ok());
  server_->process().Signal(SIGTERM);
  ReportOf(server_->process());  // It is the last line.
  int told = 0;
  std::istringstream log(server_->process().Output());
  for (std::string line; std::getline(log, line) && line.find(" Stopped: ") == std::string::npos;) {
    if (line.find(" call method=/bench.Bench/Echo") != std::string::npos) ++told;
    const std::string count = " than --access_log_per_second: ";
    const std::size_t found = line.find(count);
    if (found != std::string::npos) told += std::stoi(line.substr(found + count.size()));
  }
  EXPECT_EQ(told, kCalls) << log.str();
}

TEST_F(ShutdownReportTest, DescribesWhatWasCut) {
  StartEcho({"--termination_grace=1h", "--shutdown_drain_connections=100ms",
             "--shutdown_drain_calls=100ms"});
  bench::WatchRequest request;
  request.set_payload(std::string(40'000, 'x'));
  rpc::RawPeer caller(server_->address(), {.endless_window = false});
  ASSERT_TRUE(
      caller.ReadWholeWindow(caller.Call("/bench.Bench/Watch", request.SerializeAsString())));
  server_->process().Signal(SIGTERM);
  EXPECT_EQ(server_->process().Wait(kLimit), Ending::Exited(3));
  const report::v1::ShutdownReport report = ReportOf(server_->process());
  EXPECT_EQ(report.streams().cut(), 1U);
  EXPECT_EQ(report.calls().cancelled(), 1U);
  EXPECT_THAT(report.why(), StartsWith("CallsCut: 1 calls still ran (1 /bench.Bench/Watch)"));
  for (const auto& phase : report.phases()) {
    EXPECT_EQ(phase.forced(), phase.name() == "DrainingCalls") << phase.name();
  }
}

TEST_F(ShutdownReportTest, DescribesAnExpeditedShutdown) {
  StartEcho({"--termination_grace=1h"});
  const auto stub = bench::Bench::NewStub(channel_);
  grpc::ClientContext context;
  bench::EchoRequest request;
  bench::EchoReply reply;
  std::promise<void> ended;
  ASSERT_TRUE(stub->Echo(std::make_unique<grpc::ClientContext>().get(), request, &reply).ok());
  request.set_sleep_ms(3'600'000);
  stub->async()->Echo(&context, &request, &reply, [&](const grpc::Status&) { ended.set_value(); });
  grpc::ClientContext other;
  bench::EchoReply answer;
  ASSERT_TRUE(stub->Echo(&other, {}, &answer).ok());  // The one before it has come.
  server_->process().Signal(SIGTERM);
  ASSERT_TRUE(server_->process().AwaitOutput(" GoodbyeSaid", kLimit));
  server_->process().Signal(SIGINT);
  EXPECT_EQ(server_->process().Wait(kLimit), Ending::Exited(3));
  const report::v1::ShutdownReport report = ReportOf(server_->process());
  EXPECT_TRUE(report.expedited());
  ASSERT_EQ(report.calls().methods_size(), 1);
  EXPECT_EQ(report.calls().methods(0).method(), "/bench.Bench/Echo");
  EXPECT_EQ(report.calls().cancelled() + report.calls().left(), 1U);
  context.TryCancel();
  ended.get_future().wait();
}

TEST_F(ShutdownReportTest, DescribesAThirdSignal) {
  StartEcho({"--termination_grace=1h"});
  // Four messages use up what it takes; the fifth never leaves.
  bench::WatchRequest request;
  request.set_payload(std::string(16'000, 'x'));
  rpc::RawPeer caller(server_->address(), {.endless_window = false});
  const std::uint32_t watch = caller.Call("/bench.Bench/Watch", request.SerializeAsString());
  for (std::size_t bytes = 0; bytes < 65'535;) {
    const auto data = caller.AwaitOn(watch, rpc::RawPeer::kData);
    ASSERT_TRUE(data.has_value());
    bytes += data->payload.size();
  }
  server_->process().Signal(SIGINT);
  ASSERT_TRUE(server_->process().AwaitOutput(" GoodbyeSaid", kLimit));
  server_->process().SignalAtOnce({SIGTERM, SIGINT});
  EXPECT_EQ(server_->process().Wait(kLimit), Ending::Exited(6));
  const report::v1::ShutdownReport report = ReportOf(server_->process());
  EXPECT_EQ(report.reason(), "interrupt");
  EXPECT_THAT(report.why(), StartsWith("third signal; calls running: 1"));
  EXPECT_EQ(report.calls().left(), 1U);
  EXPECT_FALSE(report.phases().rbegin()->ended());
}

TEST_F(ShutdownReportTest, DescribesAFailedStart) {
  const auto other = testkit::ServerProcess::Start({.binary = "tests/servers/echo/echo_server"});
  ASSERT_TRUE(other.ok()) << other.status();
  ChildProcess server({testkit::RunfileOrDie("tests/servers/echo/echo_server"),
                       "--address=" + (*other)->address(), "--shutdown_report=" + path_});
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(2));
  const report::v1::ShutdownReport report = ReportOf(server);
  EXPECT_EQ(report.reason(), "could not start");
  EXPECT_THAT(report.why(), HasSubstr((*other)->address()));
  EXPECT_THAT(PhasesOf(report), ElementsAre("StoppingWorkers", "ClosingResources", "Stopped"));
}

TEST_F(ShutdownReportTest, DescribesWhatAFailedStartRolledBack) {
  EXPECT_EQ(StopFaulty("channel=fails", directory_.File("missing/port")), Ending::Exited(2));
  const report::v1::ShutdownReport report = ReportOf(*faulty_);
  EXPECT_THAT(ClosersOf(report),
              ::testing::UnorderedElementsAre("pool closed", "channel failed", "database closed",
                                              "files closed", "operators closed"));
}

TEST_F(ShutdownReportTest, DescribesACloserThatHung) {
  EXPECT_EQ(StopFaulty("pool=hangs"), Ending::Exited(4));
  const report::v1::ShutdownReport report = ReportOf(*faulty_);
  EXPECT_EQ(ClosersOf(report).front(), "pool hung");
  EXPECT_GT(report.closers(0).took_ms(), 0U);
  ASSERT_EQ(report.savers_size(), 1);
  EXPECT_EQ(report.savers(0).name(), "saver");
  EXPECT_EQ(report.savers(0).result(), "saved");
  EXPECT_THAT(report.why(), HasSubstr("CloseFailed pool"));
}

TEST_F(ShutdownReportTest, DescribesWhereTheWatchdogEndedIt) {
  EXPECT_EQ(StopFaulty("goodbye=hangs"), Ending::Exited(5));
  const report::v1::ShutdownReport report = ReportOf(*faulty_);
  EXPECT_EQ(PhasesOf(report).back(), "DrainingConnections");
  EXPECT_FALSE(report.phases().rbegin()->ended());
  EXPECT_THAT(report.why(), StartsWith("stuck in phase DrainingConnections"));
}

TEST_F(ShutdownReportTest, DescribesTheCallsThatTheWatchdogEnded) {
  StartFaulty("goodbye=hangs");
  const auto stub = bench::Bench::NewStub(rpc::NewConnection(server_->address()));
  ASSERT_TRUE(EchoCall(*stub, 0, kLimit).Status().ok());
  const EchoCall call(*stub, /*sleep_ms=*/3'600'000, kLimit);
  ASSERT_TRUE(EchoCall(*stub, 0, kLimit).Status().ok());  // The one before it has come.
  server_->process().Signal(SIGTERM);
  EXPECT_EQ(server_->process().Wait(kLimit), Ending::Exited(5));
  EXPECT_THAT(server_->process().Output(),
              HasSubstr("\nwatchdog: calls running: 1 (1 /bench.Bench/Echo)\n"));
  const report::v1::ShutdownReport report = ReportOf(server_->process());
  EXPECT_THAT(report.why(), HasSubstr("calls running: 1 (1 /bench.Bench/Echo)"));
  ASSERT_EQ(report.calls().methods_size(), 1);
  EXPECT_EQ(report.calls().methods(0).method(), "/bench.Bench/Echo");
  EXPECT_EQ(report.calls().methods(0).left(), 1U);
}

TEST_F(ShutdownReportTest, IsInItsFileDespiteAnUnreadLog) {
  const testkit::UnreadPipe log;
  StartFaulty("goodbye=hangs", log.As("2"));
  server_->process().Signal(SIGTERM);
  EXPECT_EQ(server_->process().Wait(kLimit), Ending::Exited(5));
  EXPECT_THAT(ReportInFile(server_->process()).why(),
              StartsWith("stuck in phase DrainingConnections"));
}

TEST_F(ShutdownReportTest, IsWrittenWhenTheLogIsStuck) {
  StartFaulty("log=hangs");
  server_->process().Signal(SIGTERM);
  EXPECT_EQ(server_->process().Wait(kLimit), Ending::Exited(4));
  EXPECT_THAT(ReportOf(server_->process()).why(), StartsWith("SaveFailed saver"));
}

TEST_F(ShutdownReportTest, AThirdSignalStillWritesItsFile) {
  StartFaulty("log=hangs");
  server_->process().Signal(SIGINT);
  ASSERT_TRUE(server_->process().AwaitOutput("log hangs\n", kLimit));
  server_->process().SignalAtOnce({SIGTERM, SIGINT});
  EXPECT_EQ(server_->process().Wait(kLimit), Ending::Exited(6));
  // Perhaps with the saver.
  EXPECT_THAT(ReportInFile(server_->process()).why(), StartsWith("third signal"));
}

TEST_F(ShutdownReportTest, IsWrittenAgainWhenExitingHangs) {
  EXPECT_EQ(StopFaulty("destructor=hangs"), Ending::Exited(5));
  const report::v1::ShutdownReport report = ReportOf(*faulty_);
  EXPECT_EQ(report.why(), "stuck after the shutdown, in main");
  EXPECT_EQ(PhasesOf(report).size(), 8U);
}

TEST_F(ShutdownReportTest, ReachesTheLogsReaderHoweverLongItIs) {
  // A pipe, as a collector has it, from which nothing is taken before the end.
  const std::string log = directory_.File("log");
  ASSERT_EQ(mkfifo(log.c_str(), 0600), 0);
  const int reader = open(log.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ASSERT_EQ(fcntl(reader, F_SETPIPE_SZ, 1 << 20), 1 << 20);
  auto server = testkit::ServerProcess::Start(
      {.binary = "tests/process/faulty_server",
       .flags = {"--more_entries=150", "--termination_grace=1h", "--shutdown_lame_duck=0"},
       .under = {"/bin/sh", "-c", "exec \"$0\" \"$@\" 2>" + log}});
  ASSERT_TRUE(server.ok()) << server.status();
  (*server)->process().Signal(SIGTERM);
  EXPECT_EQ((*server)->process().Wait(kLimit), Ending::Exited(0));
  std::string text(1 << 20, '\0');
  text.resize(static_cast<std::size_t>(read(reader, text.data(), text.size())));
  close(reader);
  EXPECT_GT(text.size() - text.rfind("shutdown report: "), 20000U);
  const auto report = client::ReadShutdownReport(text);
  ASSERT_TRUE(report.ok()) << report.status() << text;
  EXPECT_EQ(report->closers_size(), 155);
}

TEST_F(ShutdownReportTest, ThatCannotBeWrittenChangesNothingElse) {
  const std::string directory = directory_.File("reports");
  const std::string path = directory + "/report.json";
  ASSERT_EQ(mkdir(directory.c_str(), 0700), 0);
  auto server = testkit::ServerProcess::Start(
      {.binary = "tests/servers/echo/echo_server",
       .flags = {"--termination_grace=1h", "--shutdown_lame_duck=0", "--shutdown_report=" + path}});
  ASSERT_TRUE(server.ok()) << server.status();
  ASSERT_EQ(rmdir(directory.c_str()), 0);
  (*server)->process().Signal(SIGTERM);
  EXPECT_EQ(testkit::AwaitShutdown((*server)->process(), kLimit), Ending::Exited(0));
  EXPECT_THAT(
      (*server)->process().Output(),
      AllOf(HasSubstr("shutdown report: cannot write " + path), HasSubstr(": shutdown report: {")));
}

TEST_F(ShutdownReportTest, WhoseFileIsNotWritablePreventsTheStart) {
  ChildProcess server({testkit::RunfileOrDie("tests/servers/echo/echo_server"),
                       "--address=127.0.0.1:0",
                       "--shutdown_report=" + directory_.File("missing/report.json")});
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(2));
  EXPECT_EQ(server.Output(), "could not start: --shutdown_report: cannot write " +
                                 directory_.File("missing/report.json") +
                                 ": there is no directory " + directory_.File("missing") + "\n");
}

TEST_F(ShutdownReportTest, SchemaRejectsWhatIsNotAReport) {
  std::ofstream(path_) << R"({"version": 1})";
  ChildProcess validator({testkit::RunfileOrDie("tests/common/validate_json.py"),
                          testkit::RunfileOrDie("docs/shutdown_report.schema.json"), path_});
  EXPECT_EQ(validator.Wait(kLimit), Ending::Exited(1));
  EXPECT_THAT(validator.Output(), AllOf(HasSubstr("version"), HasSubstr("'why' is a required")));
}

}  // namespace
}  // namespace process_test
