// A server that logs for machines: from its start to its report, each line is a JSON object, and
// each call is one of them. Last words are not (docs/operations.md): no test here needs them.
#include <signal.h>

#include <chrono>
#include <sstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/shutdown_report.h"
#include "gmock/gmock.h"
#include "google/protobuf/struct.pb.h"
#include "google/protobuf/util/json_util.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/runfiles.h"
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using google::protobuf::Struct;
using testing::Contains;
using testing::ElementsAre;
using testing::Key;
using testing::SizeIs;

using JsonLogTest = ServerUnderTest;

// The lines of `log`, each of which must be an object. This server prints nothing on stdout.
std::vector<Struct> Parsed(const std::string& log) {
  std::vector<Struct> lines;
  std::istringstream rest(log);
  for (std::string line; std::getline(rest, line);) {
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(line, &lines.emplace_back()).ok())
        << line;
    EXPECT_THAT(lines.back().fields(), Contains(Key("time"))) << line;
  }
  return lines;
}

// Empty: it has none, as the report.
std::string Message(const Struct& line) {
  const auto message = line.fields().find("message");
  return message == line.fields().end() ? "" : message->second.string_value();
}

// The levels of the lines whose message has `words`.
std::vector<std::string> LevelsOf(const std::string& words, const std::vector<Struct>& lines) {
  std::vector<std::string> levels;
  for (const Struct& line : lines) {
    if (Message(line).find(words) == std::string::npos) continue;
    levels.push_back(line.fields().at("level").string_value());
  }
  return levels;
}

TEST_F(JsonLogTest, HasEachCallAndTraceAsJson) {
  Start("tests/servers/echo/echo_server",
        {"--termination_grace=1h", "--shutdown_lame_duck=0", "--platform_grace=1s",
         "--log_format=json", "--access_log"});
  const std::string trace = "4bf92f3577b34da6a3ce929d0e0e4736";
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kLimit);
    context.AddMetadata("traceparent", absl::StrCat("00-", trace, "-00f067aa0ba902b7-01"));
    context.AddMetadata("x-request-id", "\"quoted\"");
    bench::EchoReply reply;
    ASSERT_TRUE(stub_->Echo(&context, {}, &reply).ok());
  }
  ASSERT_TRUE(process().AwaitOutput(trace, kLimit)) << Output();
  process().Signal(SIGTERM);
  ASSERT_EQ(process().Wait(kLimit), testkit::Ending::Exited(0)) << Output();

  const std::vector<Struct> log = Parsed(Output());
  EXPECT_THAT(LevelsOf("the platform sends SIGKILL after 1s", log), ElementsAre("warning"));
  std::vector<Struct> calls;
  for (const Struct& line : log) {
    if (Message(line) == "call") calls.push_back(line);
  }
  ASSERT_THAT(calls, SizeIs(1)) << Output();
  const auto& fields = calls.front().fields();
  EXPECT_EQ(fields.at("method").string_value(), "/bench.Bench/Echo");
  EXPECT_EQ(fields.at("code").string_value(), "OK");
  EXPECT_EQ(fields.at("trace_id").string_value(), trace);
  EXPECT_EQ(fields.at("parent_span_id").string_value(), "00f067aa0ba902b7");
  EXPECT_THAT(fields.at("span_id").string_value(), SizeIs(16));
  EXPECT_EQ(fields.at("request_id").string_value(), "\"quoted\"");
  EXPECT_GT(fields.at("duration_ms").number_value(), 0);

  const auto report = client::ReadShutdownReport(Output());
  ASSERT_TRUE(report.ok()) << report.status();
  EXPECT_EQ(report->exit_code(), 0U);
}

TEST_F(JsonLogTest, SaysInJsonWhyItCouldNotStart) {
  testkit::ChildProcess server({testkit::RunfileOrDie("tests/servers/echo/echo_server"),
                                "--address=127.0.0.1:0", "--port_file=/nowhere/port",
                                "--log_format=json", "--log_level=error"});
  ASSERT_EQ(server.Wait(kLimit), testkit::Ending::Exited(2)) << server.Output();
  EXPECT_THAT(LevelsOf("could not start: cannot write /nowhere/port", Parsed(server.Output())),
              ElementsAre("error"));
}

}  // namespace
}  // namespace process_test
