#include "service/observability/shutdown_report.h"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

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

class ShutdownReportTest : public testing::Test {
 protected:
  End EndedWith(ExitCode code, milliseconds at, std::string why = "") const {
    return {.exit_code = code,
            .reason = "terminate",
            .why = std::move(why),
            .requested_at = start_,
            .at = start_ + at,
            .budget = {.grace = seconds(30), .reserve = std::chrono::hours(1)}};
  }

  void Tell(EventType type, Phase phase, milliseconds at) {
    record_.OnEvent({type, "", "", phase, start_ + at});
  }

  report::v1::ShutdownReport Report(const End& end) const { return record_.Report("echo", end, 0); }

  ShutdownRecord record_;
  const Clock::TimePoint start_ = Clock::Steady().Now();
};

TEST_F(ShutdownReportTest, HasThePhasesWithStartDurationAndBudget) {
  Tell(EventType::kShutdownRequested, Phase::kServing, milliseconds(0));
  record_.OnPhase(Phase::kLameDuck, start_ + milliseconds(1), seconds(5));
  record_.OnPhase(Phase::kDrainingConnections, start_ + milliseconds(301), seconds(12));
  record_.OnPhase(Phase::kStopped, start_ + milliseconds(400), seconds(1));
  const report::v1::ShutdownReport report = Report(EndedWith(ExitCode::kClean, milliseconds(401)));
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

TEST_F(ShutdownReportTest, OmitsWhatCameBeforeTheRequest) {
  Tell(EventType::kServing, Phase::kServing, milliseconds(-1000));
  Tell(EventType::kShutdownRequested, Phase::kServing, milliseconds(0));
  const report::v1::ShutdownReport report = Report(EndedWith(ExitCode::kClean, milliseconds(1)));
  ASSERT_EQ(report.events_size(), 1);
  EXPECT_EQ(report.events(0).name(), "ShutdownRequested");
}

TEST_F(ShutdownReportTest, HasAManualDrainWithTimesBelowZero) {
  const auto begin = [&](Phase phase, milliseconds at, std::optional<Clock::Duration> budget) {
    record_.OnPhase(phase, start_ + at, budget);
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
  const report::v1::ShutdownReport report = Report(EndedWith(ExitCode::kClean, milliseconds(11)));
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

TEST_F(ShutdownReportTest, HasADrainThatLastedForWeeks) {
  constexpr std::chrono::hours kWeeks(24 * 30);
  record_.OnPhase(Phase::kLameDuck, start_ - kWeeks, seconds(5));
  record_.OnPhase(Phase::kDrainingConnections, start_ - kWeeks + seconds(5), std::nullopt);
  record_.OnPhase(Phase::kDrainingCalls, start_ + milliseconds(10), seconds(1));
  const report::v1::ShutdownReport report = Report(EndedWith(ExitCode::kClean, milliseconds(11)));
  EXPECT_EQ(report.phases(0).start_ms(), INT32_MIN);
  EXPECT_EQ(report.phases(0).took_ms(), 5000U);
  EXPECT_EQ(report.phases(1).took_ms(), static_cast<unsigned>(INT32_MAX));
  EXPECT_EQ(report.phases(2).took_ms(), 1U);
}

TEST_F(ShutdownReportTest, HasClosersWithResultAndDuration) {
  const auto close = [&](EventType type, const char* subject, bool passed_over) {
    record_.OnEvent({type, subject, type == EventType::kClosed ? "" : "no disk",
                     Phase::kClosingResources, start_ + milliseconds(50), milliseconds(20),
                     passed_over});
  };
  record_.OnPhase(Phase::kClosingResources, start_, seconds(1));
  close(EventType::kClosed, "pool", false);
  close(EventType::kCloseFailed, "channel", false);
  close(EventType::kCloseFailed, "database", true);
  close(EventType::kStateSaved, "offsets", false);
  close(EventType::kSaveFailed, "totals", false);
  const report::v1::ShutdownReport report =
      Report(EndedWith(ExitCode::kCloseFailed, milliseconds(60)));
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

TEST_F(ShutdownReportTest, HasTheCallsByMethodAndInTotal) {
  End end = EndedWith(ExitCode::kClean, milliseconds(1));
  end.calls.methods = {{"", 10, 0, 0}, {"/a.B/C", 3, 2, 1}};
  end.calls.streams_ended = 5;
  end.calls.streams_cut = 6;
  const report::v1::ShutdownReport report = Report(end);
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

TEST_F(ShutdownReportTest, SaysInWhichPhaseItEndedAndWhy) {
  record_.OnPhase(Phase::kSavingState, start_, seconds(1));
  record_.OnPhase(Phase::kClosingResources, start_ + milliseconds(5), seconds(1));
  const report::v1::ShutdownReport report =
      Report(EndedWith(ExitCode::kWatchdog, milliseconds(9), "stuck in phase ClosingResources"));
  EXPECT_TRUE(report.phases(0).ended());
  EXPECT_FALSE(report.phases(1).ended());
  EXPECT_TRUE(report.phases(1).forced());
  EXPECT_EQ(report.phases(1).took_ms(), 4U);
  EXPECT_EQ(report.why(), "stuck in phase ClosingResources");
}

}  // namespace
}  // namespace observability
