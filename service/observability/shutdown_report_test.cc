#include "service/observability/shutdown_report.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"
#include "service/observability/log_writer.h"
#include "service/observability/printable.h"
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
using testing::ElementsAre;
using testing::HasSubstr;

class ShutdownReportTest : public testing::Test {
 protected:
  ShutdownReportTest() : opened_(pipe2(ends_, O_CLOEXEC | O_NONBLOCK)), log_("echo", ends_[1]) {
    EXPECT_EQ(opened_, 0);
  }
  ~ShutdownReportTest() override {
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

  void Tell(EventType type, Phase phase, milliseconds at) {
    observer_.OnEvent({type, "", "", phase, start_ + at});
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
  LogWriter log_;
  ShutdownReport observer_{"echo", path_, log_};
  const Clock::TimePoint start_ = Clock::Steady().Now();
};

TEST_F(ShutdownReportTest, HasThePhasesWithStartDurationAndBudget) {
  Tell(EventType::kShutdownRequested, Phase::kServing, milliseconds(0));
  observer_.OnPhase(Phase::kLameDuck, start_ + milliseconds(1), seconds(5));
  observer_.OnPhase(Phase::kDrainingConnections, start_ + milliseconds(301), seconds(12));
  observer_.OnPhase(Phase::kStopped, start_ + milliseconds(400), seconds(1));
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(401)));
  const report::v1::ShutdownReport report = Read();
  EXPECT_EQ(report.program(), "echo");
  EXPECT_EQ(report.reason(), "terminate");
  EXPECT_EQ(report.took_ms(), 401U);
  EXPECT_EQ(report.grace_ms(), 30000U);
  EXPECT_EQ(report.exit_code(), 0U);
  ASSERT_EQ(report.phases_size(), 3);
  EXPECT_EQ(report.phases(1).name(), "DrainingConnections");
  EXPECT_EQ(report.phases(1).start_ms(), 301U);
  EXPECT_EQ(report.phases(1).took_ms(), 99U);
  EXPECT_EQ(report.phases(1).budget_ms(), 12000U);
  for (const auto& phase : report.phases()) {
    EXPECT_TRUE(phase.ended());
    EXPECT_FALSE(phase.forced());
  }
}

TEST_F(ShutdownReportTest, LeavesOutWhatCameBeforeTheRequest) {
  Tell(EventType::kServing, Phase::kServing, milliseconds(-1000));
  Tell(EventType::kShutdownRequested, Phase::kServing, milliseconds(0));
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(1)));
  ASSERT_EQ(Read().events_size(), 1);
  EXPECT_EQ(Read().events(0).name(), "ShutdownRequested");
}

TEST_F(ShutdownReportTest, HasAManualDrainWithTimesBelowZero) {
  const auto begin = [&](Phase phase, milliseconds at, std::optional<Clock::Duration> budget) {
    observer_.OnPhase(phase, start_ + at, budget);
  };
  begin(Phase::kServing, milliseconds(-9000), std::nullopt);
  Tell(EventType::kServing, Phase::kServing, milliseconds(-9000));
  Tell(EventType::kManualDrainRequested, Phase::kServing, milliseconds(-8000));
  begin(Phase::kLameDuck, milliseconds(-8000), seconds(5));
  begin(Phase::kServing, milliseconds(-7500), std::nullopt);  // It was taken back.
  Tell(EventType::kServing, Phase::kServing, milliseconds(-7500));
  Tell(EventType::kManualDrainRequested, Phase::kServing, milliseconds(-7000));
  begin(Phase::kLameDuck, milliseconds(-7000), seconds(5));
  begin(Phase::kDrainingConnections, milliseconds(-2000), std::nullopt);
  Tell(EventType::kShutdownRequested, Phase::kDrainingConnections, milliseconds(0));
  begin(Phase::kDrainingCalls, milliseconds(10), seconds(1));
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(11)));
  const report::v1::ShutdownReport report = Read();
  std::vector<std::string> phases;
  for (const auto& phase : report.phases()) {
    phases.push_back(absl::StrCat(std::string(phase.name()), " ", phase.start_ms(), " ",
                                  phase.took_ms(), " ", phase.has_budget_ms()));
  }
  EXPECT_THAT(phases, ElementsAre("LameDuck -7000 5000 1", "DrainingConnections -2000 2010 0",
                                  "DrainingCalls 10 1 1"));
  ASSERT_EQ(report.events_size(), 2);
  EXPECT_EQ(report.events(0).name(), "ManualDrainRequested");
  EXPECT_EQ(report.events(0).at_ms(), -7000);
  EXPECT_EQ(report.events(1).name(), "ShutdownRequested");
}

TEST_F(ShutdownReportTest, HasClosersWithResultAndDuration) {
  const auto close = [&](EventType type, const char* subject, bool passed_over) {
    observer_.OnEvent({type, subject, type == EventType::kClosed ? "" : "no disk",
                       Phase::kClosingResources, start_ + milliseconds(50), milliseconds(20),
                       passed_over});
  };
  observer_.OnPhase(Phase::kClosingResources, start_, seconds(1));
  close(EventType::kClosed, "pool", false);
  close(EventType::kCloseFailed, "channel", false);
  close(EventType::kCloseFailed, "database", true);
  close(EventType::kStateSaved, "offsets", false);
  close(EventType::kSaveFailed, "totals", false);
  observer_.OnEnd(EndedWith(ExitCode::kCloseFailed, milliseconds(60)));
  const report::v1::ShutdownReport report = Read();
  std::vector<std::string> results;
  for (const auto& closer : report.closers()) {
    results.push_back(std::string(closer.name()) + " " + std::string(closer.result()));
    EXPECT_EQ(closer.start_ms(), 30U);
    EXPECT_EQ(closer.took_ms(), 20U);
  }
  EXPECT_THAT(results, ElementsAre("pool closed", "channel failed", "database hung"));
  ASSERT_EQ(report.savers_size(), 2);
  EXPECT_EQ(report.savers(0).name(), "offsets");
  EXPECT_EQ(report.savers(0).result(), "saved");
  EXPECT_EQ(report.savers(1).name(), "totals");
  EXPECT_EQ(report.savers(1).result(), "failed");
  EXPECT_TRUE(report.phases(0).forced());
  EXPECT_EQ(report.why(),
            "CloseFailed channel: no disk; CloseFailed database: no disk; "
            "SaveFailed totals: no disk");
}

TEST_F(ShutdownReportTest, HasTheCallsByMethodAndInSum) {
  End end = EndedWith(ExitCode::kClean, milliseconds(1));
  end.calls.methods = {{"", 10, 0, 0}, {"/a.B/C", 3, 2, 1}};
  end.calls.streams_ended = 5;
  end.calls.streams_cut = 6;
  observer_.OnEnd(end);
  const report::v1::ShutdownReport report = Read();
  EXPECT_EQ(report.calls().finished(), 13U);
  EXPECT_EQ(report.calls().cancelled(), 2U);
  EXPECT_EQ(report.calls().left(), 1U);
  ASSERT_EQ(report.calls().methods_size(), 2);
  EXPECT_EQ(report.calls().methods(0).method(), "others");
  EXPECT_EQ(report.calls().methods(1).method(), "/a.B/C");
  EXPECT_EQ(report.calls().methods(1).cancelled(), 2U);
  EXPECT_EQ(report.streams().ended(), 5U);
  EXPECT_EQ(report.streams().cut(), 6U);
}

TEST_F(ShutdownReportTest, SaysInWhichPhaseAProcessWasEndedAndWhy) {
  observer_.OnPhase(Phase::kSavingState, start_, seconds(1));
  observer_.OnPhase(Phase::kClosingResources, start_ + milliseconds(5), seconds(1));
  observer_.OnEnd(
      EndedWith(ExitCode::kWatchdog, milliseconds(9), "stuck in phase ClosingResources"));
  const report::v1::ShutdownReport report = Read();
  EXPECT_TRUE(report.phases(0).ended());
  EXPECT_FALSE(report.phases(1).ended());
  EXPECT_TRUE(report.phases(1).forced());
  EXPECT_EQ(report.phases(1).took_ms(), 4U);
  EXPECT_EQ(report.why(), "stuck in phase ClosingResources");
}

TEST_F(ShutdownReportTest, HoldsNumbersThatAreZeroAndFlagsThatAreFalse) {
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  EXPECT_THAT(Text(), HasSubstr(R"("exit_code":0)"));
  EXPECT_THAT(Text(), HasSubstr(R"("hurried":false)"));
  EXPECT_THAT(Text(), HasSubstr(R"("left":0)"));
  EXPECT_THAT(Text(), HasSubstr(R"("log_lines_lost":0)"));
}

TEST_F(ShutdownReportTest, IsOneLineOfJsonWhateverWordsItIsTold) {
  const std::string words = std::string("quote \" backslash \\ newline \n nul ") + '\0' +
                            " snowman \xE2\x98\x83 no text \xFF\xC0\xAF\xED\xA0\x80";
  observer_.OnEvent({EventType::kCloseFailed, words, words, Phase::kClosingResources, start_});
  observer_.OnEnd(EndedWith(ExitCode::kCloseFailed, milliseconds(0)));
  EXPECT_EQ(Read().events(0).subject(), ValidUtf8(words));
  EXPECT_EQ(Text().find('\n'), Text().size() - 1);
}

TEST_F(ShutdownReportTest, IsTheLastLineOfTheLogAsItIsInTheFile) {
  log_.Log('I', "before");
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  EXPECT_THAT(Log(), testing::EndsWith(" I echo: shutdown report: " + Text()));
}

TEST_F(ShutdownReportTest, SaysHowManyLinesOfTheLogNobodyRead) {
  const std::string much(4000, 'x');
  for (int i = 0; i < 1000; ++i) log_.Log('I', much);
  const std::int64_t lost = log_.Lost();
  EXPECT_GT(lost, 600);
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  EXPECT_GE(Read().log_lines_lost(), lost);
}

TEST_F(ShutdownReportTest, TheLastEndCounts) {
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  observer_.OnEnd(EndedWith(ExitCode::kWatchdog, milliseconds(9), "stuck in main"));
  EXPECT_EQ(Read().exit_code(), 5U);
}

TEST_F(ShutdownReportTest, ThatCannotBeWrittenIsSaidInTheLogWhichHasItStill) {
  ASSERT_EQ(mkdir(path_.c_str(), 0755), 0);
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  const std::string log = Log();
  EXPECT_THAT(log, HasSubstr(" W echo: shutdown report: cannot write " + path_ + ": "));
  EXPECT_THAT(log, HasSubstr(" I echo: shutdown report: {"));
}

TEST_F(ShutdownReportTest, IsForItsOwnerOnly) {
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

}  // namespace
}  // namespace observability
