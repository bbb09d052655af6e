#include "service/observability/process_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <future>
#include <iterator>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "service/lifecycle/last_resort/utf8.h"
#include "tests/common/eventually.h"
#include "tests/common/notify_socket.h"
#include "tests/common/temp_dir.h"

namespace observability {
namespace {

using lifecycle::Clock;
using lifecycle::End;
using lifecycle::EventType;
using lifecycle::ExitCode;
using lifecycle::Phase;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ContainsRegex;
using testing::HasSubstr;

// One test, since there is one ProcessLog per process.
TEST(ProcessLog, ReportsTheShutdownToLogFileAndSystemdUnderOneName) {
  const testkit::TempDir directory("/tmp");  // Short enough for a socket's name.
  const std::string path = directory.File("report.json");
  testkit::NotifySocket systemd(directory.File("notify"));
  setenv("NOTIFY_SOCKET", directory.File("notify").c_str(), 1);
  testing::internal::CaptureStderr();
  ProcessLog log("echo", {.report_file = path, .systemd = {.extend_timeout = true}});
  const Clock::TimePoint now = Clock::Steady().Now();
  log.OnPhase(Phase::kDrainingConnections, now, std::nullopt);
  log.OnEvent({.type = EventType::kShutdownRequested, .phase = Phase::kServing, .at = now});
  log.OnPhaseLimit(now, seconds(5));
  EXPECT_EQ(log.ReportSoFar().phases_size(), 1) << "a limit is no phase";
  log.OnEnd({.reason = "terminate",
             .requested_at = now,
             .at = now,
             .budget = {.reserve = std::chrono::hours(1)}});
  const std::string logged = testing::internal::GetCapturedStderr();  // The end was flushed.
  std::ifstream file(path);
  const std::string report{std::istreambuf_iterator<char>(file), {}};
  EXPECT_THAT(logged, ContainsRegex(
                          " I echo: shutdown .* ShutdownRequested\n.* I echo: shutdown report: "));
  EXPECT_THAT(logged, HasSubstr("shutdown report: " + report));
  EXPECT_THAT(report, HasSubstr("\"program\":\"echo\""));
  EXPECT_THAT(report, HasSubstr("\"DrainingConnections\""));
  EXPECT_EQ(systemd.Count("EXTEND_TIMEOUT_USEC=6000000"), 1);
  EXPECT_DEATH(ProcessLog("echo", {}), "a process has one ProcessLog");
}

// A log that the test reads, and a report.
class ReportTest : public testing::Test {
 protected:
  ReportTest() : opened_(pipe2(ends_, O_CLOEXEC | O_NONBLOCK)), writer_("echo", ends_[1]) {
    EXPECT_EQ(opened_, 0);
  }
  ~ReportTest() override {
    close(ends_[0]);
    close(ends_[1]);
  }

  End EndedWith(ExitCode code, milliseconds at, std::string why = "") const {
    return {.exit_code = code,
            .reason = "terminate",
            .why = std::move(why),
            .requested_at = start_,
            .at = start_ + at,
            .budget = {.grace = seconds(30), .reserve = std::chrono::hours(1)}};
  }

  std::string Text() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  report::v1::ShutdownReport Read() const {
    report::v1::ShutdownReport report;
    EXPECT_TRUE(google::protobuf::util::JsonStringToMessage(Text(), &report).ok()) << Text();
    return report;
  }

  // What is in the log. Requires: it ended.
  std::string Log() const {
    std::string text(1 << 16, '\0');
    const ssize_t size = read(ends_[0], text.data(), text.size());
    text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
    return text;
  }

  const testkit::TempDir directory_;
  const std::string path_ = directory_.File("report.json");
  int ends_[2];
  const int opened_;
  LogWriter writer_;
  ProcessLog log_{"echo", path_, writer_};
  const Clock::TimePoint start_ = Clock::Steady().Now();
};

TEST_F(ReportTest, IsTheSameInLogAndFile) {
  writer_.Log('I', "before");
  log_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  EXPECT_THAT(Log(), testing::EndsWith(" I echo: shutdown report: " + Text()));
}

TEST_F(ReportTest, SaysHowManyLogLinesNobodyRead) {
  const std::string much(4000, 'x');
  for (int i = 0; i < 1000; ++i) writer_.Log('I', much);
  const std::int64_t lost = writer_.Lost();
  EXPECT_GT(lost, 600);
  log_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  EXPECT_GE(Read().log_lines_lost(), lost);
}

// The reader takes what the pipe has room for, and as much again; then the process has ended.
TEST_F(ReportTest, IsNotLostBehindTheLinesOfASlowReader) {
  const std::string much(4000, 'x');
  constexpr int kLines = 200;
  for (int i = 0; i < kLines; ++i) writer_.Log('I', much);
  log_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  std::string log = Log();
  writer_.Flush(seconds(40));
  log += Log();
  int arrived = 0;
  for (std::size_t at = 0; (at = log.find(": x", at)) != log.npos; ++at) ++arrived;
  const std::string lost = std::to_string(kLines - arrived);
  EXPECT_THAT(log, ContainsRegex(" W echo: " + lost + " lines lost: .*\n.*: shutdown report: "));
  EXPECT_THAT(log, testing::EndsWith(" I echo: shutdown report: " + Text()));
  EXPECT_EQ(Read().log_lines_lost(), kLines - arrived);
}

TEST_F(ReportTest, KeepsTheLastEnd) {
  log_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  log_.OnEnd(EndedWith(ExitCode::kWatchdog, milliseconds(9), "stuck in main"));
  EXPECT_EQ(Read().exit_code(), 5U);
}

TEST_F(ReportTest, IsInTheLogWhenItsFileFails) {
  ASSERT_EQ(mkdir(path_.c_str(), 0755), 0);
  log_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  const std::string log = Log();
  EXPECT_THAT(log, HasSubstr(" W echo: shutdown report: cannot write " + path_ + ": "));
  EXPECT_THAT(log, HasSubstr(" I echo: shutdown report: {"));
}

TEST_F(ReportTest, IsInTheLogWhileItsFileHangs) {
  std::promise<void> released;
  ProcessLog log("echo", path_, writer_, [&](const std::string&, const std::string&) {
    released.get_future().wait();
    return absl::OkStatus();
  });
  std::thread ends([&] { log.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0))); });
  std::string text;
  EXPECT_TRUE(testkit::Eventually([&] {
    text += Log();
    return text.find(" I echo: shutdown report: {") != std::string::npos;
  }));
  released.set_value();
  ends.join();
}

TEST_F(ReportTest, IsInTheLogBeforeTheWordThatItsFileHangs) {
  std::promise<void> released;
  ProcessLog log("echo", path_, writer_,
                 [until = released.get_future().share()](const std::string&, const std::string&) {
                   until.wait();
                   return absl::OkStatus();
                 });
  End end = EndedWith(ExitCode::kWatchdog, milliseconds(0));
  end.budget.reserve = milliseconds(200);
  log.OnEnd(end);
  std::string text;
  // On a busy machine its last flush may not have been enough.
  EXPECT_TRUE(testkit::Eventually([&] {
    text += Log();
    return text.find(" hangs\n") != std::string::npos;
  }));
  EXPECT_THAT(text,
              testing::MatchesRegex(".* I echo: shutdown report: .*\n"
                                    ".* W echo: shutdown report: not written in time: .* hangs\n"));
  released.set_value();
}

// Otherwise the lines would land within each other, as a long report is written in pieces.
TEST_F(ReportTest, IsWrittenBetweenLinesWhereItsFileIsTheLog) {
  std::string before;
  ProcessLog log("echo", "/proc/self/fd/" + std::to_string(ends_[1]), writer_,
                 [&](const std::string& path, const std::string& text) {
                   before = Log();
                   return ReportFile::WriteForOwner(path, text);
                 });
  const std::string much(4000, 'x');
  for (int i = 0; i < 10; ++i) {
    for (int line = 0; line < 10; ++line) writer_.Log('I', much);
    log.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
    EXPECT_EQ(std::count(before.begin(), before.end(), '\n'), 10);
    EXPECT_THAT(before, testing::Not(HasSubstr("report")));
    EXPECT_THAT(Log(), testing::MatchesRegex("\\{.*\\}\n.* I echo: shutdown report: .*\\}\n"));
  }
}

TEST_F(ReportTest, IsReadableByItsOwnerOnly) {
  log_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

TEST_F(ReportTest, IsOneLineOfJsonWhateverItsTexts) {
  const std::string words = std::string("quote \" backslash \\ newline \n nul ") + '\0' +
                            " snowman \xE2\x98\x83 no text \xFF\xC0\xAF\xED\xA0\x80";
  log_.OnEvent({EventType::kCloseFailed, words, words, Phase::kClosingResources, start_});
  log_.OnEnd(EndedWith(ExitCode::kCloseFailed, milliseconds(0)));
  EXPECT_EQ(Read().events(0).subject(), lifecycle::ValidUtf8(words));
  EXPECT_EQ(Text().find('\n'), Text().size() - 1);
}

TEST_F(ReportTest, IncludesZeroAndFalseValues) {
  log_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  EXPECT_THAT(Text(), HasSubstr(R"("exit_code":0)"));
  EXPECT_THAT(Text(), HasSubstr(R"("expedited":false)"));
  EXPECT_THAT(Text(), HasSubstr(R"("left":0)"));
  EXPECT_THAT(Text(), HasSubstr(R"("log_lines_lost":0)"));
}

}  // namespace
}  // namespace observability
