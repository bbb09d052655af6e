#include "service/lifecycle/exit_reporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "service/lifecycle/testing/fake_clock.h"
#include "service/lifecycle/testing/fake_traffic.h"
#include "service/lifecycle/testing/recording_observer.h"

namespace lifecycle {
namespace {

using testing::ExitedWithCode;

class ExitReporterTest : public testing::Test {
 protected:
  End LastEnd() const { return observer_.Ends().back(); }

  FakeClock clock_;
  ShutdownRequest request_{clock_};
  RecordingObserver observer_;
  const ShutdownBudget budget_{.grace = std::chrono::seconds(30)};
  ExitReporter exit_reporter_{budget_, request_, clock_, observer_};
};

TEST_F(ExitReporterTest, ReportsTheReasonAndTheCalls) {
  FakeTraffic traffic;
  traffic.tally = {.streams_ended = 2};
  exit_reporter_.Serves(traffic);
  request_.Request(ShutdownReason::kTerminate);
  const Clock::TimePoint requested_at = clock_.Now();
  clock_.Advance(std::chrono::seconds(3));
  EXPECT_EQ(exit_reporter_.Return(ExitCode::kForced, "because", /*abandoned=*/false), 3);
  EXPECT_EQ(LastEnd().exit_code, ExitCode::kForced);
  EXPECT_EQ(LastEnd().reason, "terminate");
  EXPECT_EQ(LastEnd().why, "because");
  EXPECT_FALSE(LastEnd().expedited);
  EXPECT_EQ(LastEnd().requested_at, requested_at);
  EXPECT_EQ(LastEnd().at, clock_.Now());
  EXPECT_EQ(LastEnd().budget.grace, std::chrono::seconds(30));
  EXPECT_EQ(LastEnd().calls.streams_ended, 2);
}

TEST_F(ExitReporterTest, RemembersTheCallsOfADestroyedTraffic) {
  auto traffic = std::make_unique<FakeTraffic>();
  traffic->tally = {.streams_ended = 2};
  exit_reporter_.Serves(*traffic);
  request_.Request(ShutdownReason::kInterrupt);
  exit_reporter_.Return(ExitCode::kClean, "", /*abandoned=*/false);
  traffic.reset();
  exit_reporter_.Return(ExitCode::kClean, "", /*abandoned=*/false);
  EXPECT_EQ(LastEnd().reason, "interrupt");
  EXPECT_EQ(LastEnd().calls.streams_ended, 2);
}

TEST_F(ExitReporterTest, ReportsThatTheProcessNeverServed) {
  request_.Request(ShutdownReason::kTerminate);
  exit_reporter_.Return(ExitCode::kClean, "", /*abandoned=*/false);
  EXPECT_EQ(LastEnd().reason, "stopped while starting");
  exit_reporter_.CouldNotStart();
  exit_reporter_.Return(ExitCode::kCouldNotStart, "", /*abandoned=*/false);
  EXPECT_EQ(LastEnd().reason, "could not start");
}

// Writes each end to stderr, and does what it is told to in telling one.
class Tells final : public Observer {
 public:
  explicit Tells(std::function<void(const End&)> then) : then_(std::move(then)) {}
  void OnEvent(const Event&) override {}
  void OnEnd(const End& end) override {
    std::fprintf(stderr, "%s\n", end.why.c_str());
    then_(end);
  }

 private:
  const std::function<void(const End&)> then_;
};

// What ends the process: each in a process of its own.
class ExitReporterDeathTest : public ExitReporterTest {
 protected:
  ExitReporterDeathTest() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    request_.Request(ShutdownReason::kTerminate);
  }
};

TEST_F(ExitReporterDeathTest, EndsTheProcessHereWhenSomethingWasAbandoned) {
  EXPECT_EXIT(exit_reporter_.Return(ExitCode::kForced, "", /*abandoned=*/true), ExitedWithCode(3),
              "^$");
}

TEST_F(ExitReporterDeathTest, AnExitIsNotContradictedByAReturn) {
  EXPECT_EXIT(
      {
        std::thread main;
        ExitReporter* exit_reporter = nullptr;
        Tells observer([&](const End& end) {
          if (end.why != "third signal") return;
          main = std::thread([&] { exit_reporter->Return(ExitCode::kClean, "main", false); });
          // It would have told by then; were it not, the test would prove less and not fail.
          std::this_thread::sleep_for(std::chrono::milliseconds(100));
        });
        ExitReporter contended(budget_, request_, clock_, observer);
        exit_reporter = &contended;
        contended.Leave(ExitCode::kThirdSignal, "third signal");
      },
      ExitedWithCode(6), "^third signal\n$");
}

TEST_F(ExitReporterDeathTest, AHangingReportDelaysNoExit) {
  EXPECT_EXIT(
      {
        ExitReporter* exit_reporter = nullptr;
        Tells observer([&](const End&) {
          std::thread([&] { exit_reporter->Leave(ExitCode::kWatchdog, "watchdog"); }).detach();
          for (;;) pause();
        });
        ExitReporter contended(budget_, request_, clock_, observer);
        exit_reporter = &contended;
        contended.Return(ExitCode::kClean, "main", false);
      },
      ExitedWithCode(5), "^main\nno report of this end \\(watchdog\\): .*\n$");
}

}  // namespace
}  // namespace lifecycle
