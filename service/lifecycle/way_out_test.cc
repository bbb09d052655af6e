#include "service/lifecycle/way_out.h"

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

class WayOutTest : public testing::Test {
 protected:
  End LastEnd() const { return observer_.Ends().back(); }

  FakeClock clock_;
  ShutdownRequest request_{clock_};
  RecordingObserver observer_;
  const ShutdownBudget budget_{.grace = std::chrono::seconds(30)};
  WayOut way_out_{budget_, request_, clock_, observer_};
};

TEST_F(WayOutTest, ReportsTheReasonAndTheCalls) {
  FakeTraffic traffic;
  traffic.tally = {.streams_ended = 2};
  way_out_.Serves(traffic);
  request_.Request(ShutdownReason::kTerminate);
  const Clock::TimePoint requested_at = clock_.Now();
  clock_.Advance(std::chrono::seconds(3));
  EXPECT_EQ(way_out_.Return(ExitCode::kForced, "because", /*abandoned=*/false), 3);
  EXPECT_EQ(LastEnd().exit_code, ExitCode::kForced);
  EXPECT_EQ(LastEnd().reason, "terminate");
  EXPECT_EQ(LastEnd().why, "because");
  EXPECT_FALSE(LastEnd().hurried);
  EXPECT_EQ(LastEnd().requested_at, requested_at);
  EXPECT_EQ(LastEnd().at, clock_.Now());
  EXPECT_EQ(LastEnd().budget.grace, std::chrono::seconds(30));
  EXPECT_EQ(LastEnd().calls.streams_ended, 2);
}

TEST_F(WayOutTest, RemembersTheCallsOfADestroyedTraffic) {
  auto traffic = std::make_unique<FakeTraffic>();
  traffic->tally = {.streams_ended = 2};
  way_out_.Serves(*traffic);
  request_.Request(ShutdownReason::kInterrupt);
  way_out_.Return(ExitCode::kClean, "", /*abandoned=*/false);
  traffic.reset();
  way_out_.Return(ExitCode::kClean, "", /*abandoned=*/false);
  EXPECT_EQ(LastEnd().reason, "interrupt");
  EXPECT_EQ(LastEnd().calls.streams_ended, 2);
}

TEST_F(WayOutTest, ReportsThatTheProcessNeverServed) {
  request_.Request(ShutdownReason::kTerminate);
  way_out_.Return(ExitCode::kClean, "", /*abandoned=*/false);
  EXPECT_EQ(LastEnd().reason, "stopped while starting");
  way_out_.CouldNotStart();
  way_out_.Return(ExitCode::kCouldNotStart, "", /*abandoned=*/false);
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
class WayOutDeathTest : public WayOutTest {
 protected:
  WayOutDeathTest() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    request_.Request(ShutdownReason::kTerminate);
  }
};

TEST_F(WayOutDeathTest, EndsTheProcessHereWhenSomethingWasAbandoned) {
  EXPECT_EXIT(way_out_.Return(ExitCode::kForced, "", /*abandoned=*/true), ExitedWithCode(3), "^$");
}

TEST_F(WayOutDeathTest, AnExitIsNotContradictedByAReturn) {
  EXPECT_EXIT(
      {
        std::thread main;
        WayOut* way_out = nullptr;
        Tells observer([&](const End& end) {
          if (end.why != "third signal") return;
          main = std::thread([&] { way_out->Return(ExitCode::kClean, "main", false); });
          // It would have told by then; were it not, the test would prove less and not fail.
          std::this_thread::sleep_for(std::chrono::milliseconds(100));
        });
        WayOut contended(budget_, request_, clock_, observer);
        way_out = &contended;
        contended.Leave(ExitCode::kThirdSignal, "third signal");
      },
      ExitedWithCode(6), "^third signal\n$");
}

TEST_F(WayOutDeathTest, AnExitDoesNotWaitForAHangingReport) {
  EXPECT_EXIT(
      {
        WayOut* way_out = nullptr;
        Tells observer([&](const End&) {
          std::thread([&] { way_out->Leave(ExitCode::kWatchdog, "watchdog"); }).detach();
          for (;;) pause();
        });
        WayOut contended(budget_, request_, clock_, observer);
        way_out = &contended;
        contended.Return(ExitCode::kClean, "main", false);
      },
      ExitedWithCode(5), "^main\n$");
}

}  // namespace
}  // namespace lifecycle
