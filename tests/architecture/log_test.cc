// The client does not use the service's rooms, so each has its own idea of what a line of a log is,
// and which one is a report. Random words and fields hold them together.

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "client/shutdown_report.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "report/v1/shutdown_report.pb.h"
#include "service/lifecycle/last_resort/utf8.h"
#include "service/observability/log_writer.h"
#include "tests/common/temp_dir.h"

namespace {

// Also what a peer sends who wants a line to be taken for a report.
std::string RandomText(std::mt19937& random) {
  const std::string report = "shutdown report: {\"version\":2,\"program\":\"orders\"}";
  const std::string pieces[] = {"\n",
                                "\r",
                                " ",
                                "\\",
                                "\"",
                                "\x1b[2J",
                                "\u2028",
                                "\xFF",
                                std::string(1, '\0'),
                                "\",\"shutdown_report\":{",
                                report,
                                "2026-01-31T12:00:01.250Z I orders: " + report,
                                report.substr(17),
                                std::string(random() % 5000, static_cast<char>(random()))};
  std::string text;
  for (auto more = random() % 5; more > 0; --more) text += pieces[random() % std::size(pieces)];
  return text;
}

// As many random lines, and `report` between them, if there is one.
std::string Log(std::mt19937& random, std::size_t lines, const std::string& report) {
  const testkit::TempDir directory;
  const std::string path = directory.File("log");
  const int file = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  {
    observability::LogWriter log("orders", file, {.json = random() % 2 == 0, .level = 'D'});
    const std::size_t place = random() % lines;
    for (std::size_t line = 0; line < lines; ++line) {
      if (line == place && !report.empty()) log.LogReport(report);
      observability::LogFields fields;
      for (const char* const name : {"method", "peer", "why"}) {
        if (random() % 2 == 0) fields.push_back({name, RandomText(random)});
      }
      log.Log("DIWE"[random() % 4], RandomText(random), fields);
    }
    EXPECT_TRUE(log.Flush(std::chrono::minutes(1)));
  }
  close(file);
  std::ifstream written(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(written), {}};
}

TEST(LogTest, HasALineForEachCallAndNoReportButTheReport) {
  for (std::mt19937::result_type seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const std::size_t count = 1 + random() % 5;
    const std::string log = Log(random, count, "");
    const std::vector<std::string> lines = absl::StrSplit(log, '\n');
    ASSERT_EQ(lines.size(), count + 1) << log;  // Nothing is behind the end of the last one.
    for (const std::string& line : lines) ASSERT_LT(line.size(), std::size_t{PIPE_BUF}) << log;
    ASSERT_FALSE(client::ReadShutdownReport(log).ok()) << log;

    report::v1::ShutdownReport report;
    report.set_version(2);
    report.set_program("orders");
    report.set_why(lifecycle::ValidUtf8(RandomText(random)));
    std::string json;
    ASSERT_TRUE(google::protobuf::util::MessageToJsonString(report, &json).ok());
    const std::string with_report = Log(random, count, json);
    const auto read = client::ReadShutdownReport(with_report);
    ASSERT_TRUE(read.ok()) << read.status() << with_report;
    ASSERT_EQ(read->SerializeAsString(), report.SerializeAsString()) << with_report;
  }
}

}  // namespace
