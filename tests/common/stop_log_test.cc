#include "tests/common/stop_log.h"

#include <chrono>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/lifecycle/observer.h"
#include "service/lifecycle/phase.h"
#include "service/observability/lifecycle_log.h"

namespace testkit {
namespace {

using lifecycle::Phase;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The log itself writes what is read here, so that a change of its form is noticed.
TEST(StopLogTest, ReadsWhatTheLifecycleLogWrites) {
  const lifecycle::Clock::TimePoint start{std::chrono::hours(1)};
  testing::internal::CaptureStderr();
  observability::SetUpLog("orders");
  observability::LifecycleLog log;
  log.OnEvent({"Serving", "", "", Phase::kServing, true, start - milliseconds(5)});
  log.OnEvent({"StopRequested", "", "terminate, all = 30s", Phase::kServing, true, start});
  log.OnEvent({"Closed", "store pool", "", Phase::kClosing, true, start + milliseconds(1234)});
  log.OnEvent({"CloseFailed", "database", "INTERNAL: threw: \"disk\": full", Phase::kClosing, false,
               start + milliseconds(1235)});
  const StopLog read = ParseStopLog(testing::internal::GetCapturedStderr());

  ASSERT_EQ(read.events.size(), 4u);
  EXPECT_EQ(read.events[0].time, std::nullopt);
  EXPECT_EQ(read.events[0].phase, Phase::kServing);
  EXPECT_EQ(read.events[0].name, "Serving");
  EXPECT_TRUE(read.events[0].ok);
  EXPECT_EQ(read.events[1].time, milliseconds(0));
  EXPECT_EQ(read.events[1].name, "StopRequested");
  EXPECT_EQ(read.events[1].subject, "");
  EXPECT_EQ(read.events[1].detail, "terminate, all = 30s");
  EXPECT_EQ(read.events[2].time, milliseconds(1234));
  EXPECT_EQ(read.events[2].phase, Phase::kClosing);
  EXPECT_EQ(read.events[2].subject, "store pool");
  EXPECT_EQ(read.events[2].detail, "");
  EXPECT_EQ(read.events[3].subject, "database");
  EXPECT_EQ(read.events[3].detail, "INTERNAL: threw: \"disk\": full");
  EXPECT_FALSE(read.events[3].ok);
}

TEST(StopLogTest, ReadsEveryPhase) {
  for (int phase = 0; phase <= static_cast<int>(Phase::kStopped); ++phase) {
    testing::internal::CaptureStderr();
    observability::SetUpLog("orders");
    observability::LifecycleLog().OnEvent(
        {"Something", "", "", static_cast<Phase>(phase), true, {}});
    const StopLog read = ParseStopLog(testing::internal::GetCapturedStderr());
    ASSERT_EQ(read.events.size(), 1u) << phase;
    EXPECT_EQ(read.events[0].phase, static_cast<Phase>(phase));
  }
}

TEST(StopLogTest, LeavesOutWhatElseAProcessWrites) {
  const StopLog read = ParseStopLog(
      "serving on 127.0.0.1:50051\n"
      "12:00:01.250 I orders: sales totals: replayed 3 events of the order log\n"
      "12:00:01.250 W orders: no inventory at 127.0.0.1:1: PlaceOrder is refused\n"
      "12:00:01.250 I orders: Orders      Something\n"
      "E0101 12:00:01.250 1 chttp2_server.cc:1] stop +0.001s Leaving     ListenerClosed\n");
  EXPECT_THAT(read.events, IsEmpty());
  EXPECT_FALSE(read.watchdog || read.third_signal || read.could_not_start);
}

TEST(StopLogTest, ReadsTimesThatRunBackwards) {
  const StopLog read =
      ParseStopLog("12:00:01.250 I orders: stop +-0.002s Leaving     ListenerClosed\n");
  ASSERT_EQ(read.events.size(), 1u);
  EXPECT_EQ(read.events[0].time, milliseconds(-2));
}

TEST(StopLogTest, HearsTheLastWordsOfAProcess) {
  EXPECT_TRUE(ParseStopLog("x\nwatchdog: the stop has spent its grace of 1s; stuck\n").watchdog);
  EXPECT_TRUE(ParseStopLog("third signal: leaving at once, nothing more is saved").third_signal);
  EXPECT_TRUE(ParseStopLog("could not start: port in use\n").could_not_start);
}

}  // namespace
}  // namespace testkit
