// A server that logs for machines: from its start to its report, each line is a JSON object, and
// each call is one of them.
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
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using testing::Contains;
using testing::Key;
using testing::SizeIs;

using JsonLogTest = ServerUnderTest;

TEST_F(JsonLogTest, HasEachCallAndTraceAsJson) {
  Start("tests/servers/echo/echo_server",
        {"--termination_grace=1h", "--shutdown_lame_duck=0", "--log_format=json", "--access_log"});
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

  std::istringstream log(Output());
  std::vector<google::protobuf::Struct> calls;
  for (std::string line; std::getline(log, line);) {
    if (line.empty() || line.front() != '{') continue;  // What it prints on stdout.
    google::protobuf::Struct parsed;
    ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(line, &parsed).ok()) << line;
    ASSERT_THAT(parsed.fields(), Contains(Key("time"))) << line;
    const auto message = parsed.fields().find("message");
    if (message != parsed.fields().end() && message->second.string_value() == "call") {
      calls.push_back(parsed);
    }
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

}  // namespace
}  // namespace process_test
