#include "service/observability/drain_report.h"

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
using lifecycle::ExitCode;
using lifecycle::Phase;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

class DrainReportTest : public testing::Test {
 protected:
  DrainReportTest() : opened_(pipe2(ends_, O_CLOEXEC | O_NONBLOCK)), log_("echo", ends_[1]) {
    EXPECT_EQ(opened_, 0);
  }
  ~DrainReportTest() override {
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

  void Tell(const std::string& name, Phase phase, milliseconds at) {
    observer_.OnEvent({name, "", "", phase, true, start_ + at});
  }

  std::string Text() const {
    std::ifstream file(path_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  report::v1::DrainReport Read() const {
    report::v1::DrainReport report;
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
  DrainReport observer_{"echo", path_, log_};
  const Clock::TimePoint start_ = Clock::Steady().Now();
};

TEST_F(DrainReportTest, HasThePhasesWithStartDurationAndBudget) {
  Tell("StopRequested", Phase::kServing, milliseconds(0));
  observer_.OnPhase(Phase::kLameDuck, start_ + milliseconds(1), seconds(5));
  observer_.OnPhase(Phase::kLeaving, start_ + milliseconds(301), seconds(12));
  observer_.OnPhase(Phase::kStopped, start_ + milliseconds(400), seconds(1));
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(401)));
  const report::v1::DrainReport report = Read();
  EXPECT_EQ(report.program(), "echo");
  EXPECT_EQ(report.reason(), "terminate");
  EXPECT_EQ(report.took_ms(), 401U);
  EXPECT_EQ(report.grace_ms(), 30000U);
  EXPECT_EQ(report.exit_code(), 0U);
  ASSERT_EQ(report.phases_size(), 3);
  EXPECT_EQ(report.phases(1).name(), "Leaving");
  EXPECT_EQ(report.phases(1).start_ms(), 301U);
  EXPECT_EQ(report.phases(1).took_ms(), 99U);
  EXPECT_EQ(report.phases(1).budget_ms(), 12000U);
  for (const auto& phase : report.phases()) {
    EXPECT_TRUE(phase.ended());
    EXPECT_FALSE(phase.forced());
  }
}

TEST_F(DrainReportTest, LeavesOutWhatCameBeforeTheRequest) {
  Tell("Serving", Phase::kServing, milliseconds(-1000));
  Tell("StopRequested", Phase::kServing, milliseconds(0));
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(1)));
  ASSERT_EQ(Read().events_size(), 1);
  EXPECT_EQ(Read().events(0).name(), "StopRequested");
}

TEST_F(DrainReportTest, HasADrainByHandWithTimesBelowZero) {
  const auto begin = [&](Phase phase, milliseconds at, std::optional<Clock::Duration> budget) {
    observer_.OnPhase(phase, start_ + at, budget);
  };
  begin(Phase::kServing, milliseconds(-9000), std::nullopt);
  Tell("Serving", Phase::kServing, milliseconds(-9000));
  Tell("DrainRequested", Phase::kServing, milliseconds(-8000));
  begin(Phase::kLameDuck, milliseconds(-8000), seconds(5));
  begin(Phase::kServing, milliseconds(-7500), std::nullopt);  // It was taken back.
  Tell("Serving", Phase::kServing, milliseconds(-7500));
  Tell("DrainRequested", Phase::kServing, milliseconds(-7000));
  begin(Phase::kLameDuck, milliseconds(-7000), seconds(5));
  begin(Phase::kLeaving, milliseconds(-2000), std::nullopt);
  Tell("StopRequested", Phase::kLeaving, milliseconds(0));
  begin(Phase::kDraining, milliseconds(10), seconds(1));
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(11)));
  const report::v1::DrainReport report = Read();
  std::vector<std::string> phases;
  for (const auto& phase : report.phases()) {
    phases.push_back(absl::StrCat(std::string(phase.name()), " ", phase.start_ms(), " ",
                                  phase.took_ms(), " ", phase.has_budget_ms()));
  }
  EXPECT_THAT(phases,
              ElementsAre("LameDuck -7000 5000 1", "Leaving -2000 2010 0", "Draining 10 1 1"));
  ASSERT_EQ(report.events_size(), 2);
  EXPECT_EQ(report.events(0).name(), "DrainRequested");
  EXPECT_EQ(report.events(0).at_ms(), -7000);
  EXPECT_EQ(report.events(1).name(), "StopRequested");
}

TEST_F(DrainReportTest, HasClosersWithResultAndDuration) {
  const auto close = [&](const char* name, const char* subject, bool ok, bool passed_over) {
    observer_.OnEvent({name, subject, ok ? "" : "no disk", Phase::kClosing, ok,
                       start_ + milliseconds(50), milliseconds(20), passed_over});
  };
  observer_.OnPhase(Phase::kClosing, start_, seconds(1));
  close("Closed", "pool", true, false);
  close("CloseFailed", "channel", false, false);
  close("CloseFailed", "database", false, true);
  close("StateSaved", "offsets", true, false);
  close("SaveFailed", "totals", false, false);
  observer_.OnEnd(EndedWith(ExitCode::kCloseFailed, milliseconds(60)));
  const report::v1::DrainReport report = Read();
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

TEST_F(DrainReportTest, HasTheCallsByMethodAndInSum) {
  End end = EndedWith(ExitCode::kClean, milliseconds(1));
  end.calls.methods = {{"", 10, 0, 0}, {"/a.B/C", 3, 2, 1}};
  end.calls.streams_ended = 5;
  end.calls.streams_cut = 6;
  observer_.OnEnd(end);
  const report::v1::DrainReport report = Read();
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

TEST_F(DrainReportTest, SaysInWhichPhaseAProcessWasEndedAndWhy) {
  observer_.OnPhase(Phase::kSaving, start_, seconds(1));
  observer_.OnPhase(Phase::kClosing, start_ + milliseconds(5), seconds(1));
  observer_.OnEnd(EndedWith(ExitCode::kWatchdog, milliseconds(9), "stuck in phase Closing"));
  const report::v1::DrainReport report = Read();
  EXPECT_TRUE(report.phases(0).ended());
  EXPECT_FALSE(report.phases(1).ended());
  EXPECT_TRUE(report.phases(1).forced());
  EXPECT_EQ(report.phases(1).took_ms(), 4U);
  EXPECT_EQ(report.why(), "stuck in phase Closing");
}

TEST_F(DrainReportTest, HoldsNumbersThatAreZeroAndFlagsThatAreFalse) {
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  EXPECT_THAT(Text(), HasSubstr(R"("exit_code":0)"));
  EXPECT_THAT(Text(), HasSubstr(R"("hurried":false)"));
  EXPECT_THAT(Text(), HasSubstr(R"("left":0)"));
  EXPECT_THAT(Text(), HasSubstr(R"("log_lines_lost":0)"));
}

TEST_F(DrainReportTest, IsOneLineOfJsonWhateverWordsItIsTold) {
  const std::string words = std::string("quote \" backslash \\ newline \n nul ") + '\0' +
                            " snowman \xE2\x98\x83 no text \xFF\xC0\xAF\xED\xA0\x80";
  observer_.OnEvent({"CloseFailed", words, words, Phase::kClosing, false, start_});
  observer_.OnEnd(EndedWith(ExitCode::kCloseFailed, milliseconds(0)));
  EXPECT_EQ(Read().events(0).subject(), ValidUtf8(words));
  EXPECT_EQ(Text().find('\n'), Text().size() - 1);
}

TEST_F(DrainReportTest, IsTheLastLineOfTheLogAsItIsInTheFile) {
  log_.Log('I', "before");
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  EXPECT_THAT(Log(), testing::EndsWith(" I echo: drain report: " + Text()));
}

TEST_F(DrainReportTest, SaysHowManyLinesOfTheLogNobodyRead) {
  const std::string much(4000, 'x');
  for (int i = 0; i < 1000; ++i) log_.Log('I', much);
  const std::int64_t lost = log_.Lost();
  EXPECT_GT(lost, 600);
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  EXPECT_GE(Read().log_lines_lost(), lost);
}

TEST_F(DrainReportTest, TheLastEndCounts) {
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  observer_.OnEnd(EndedWith(ExitCode::kWatchdog, milliseconds(9), "stuck in main"));
  EXPECT_EQ(Read().exit_code(), 5U);
}

TEST_F(DrainReportTest, ThatCannotBeWrittenIsSaidInTheLogWhichHasItStill) {
  ASSERT_EQ(mkdir(path_.c_str(), 0755), 0);
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  const std::string log = Log();
  EXPECT_THAT(log, HasSubstr(" W echo: drain report: cannot write " + path_ + ": "));
  EXPECT_THAT(log, HasSubstr(" I echo: drain report: {"));
}

TEST_F(DrainReportTest, IsForItsOwnerOnly) {
  observer_.OnEnd(EndedWith(ExitCode::kClean, milliseconds(0)));
  struct stat status {};
  ASSERT_EQ(stat(path_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
}

}  // namespace
}  // namespace observability
