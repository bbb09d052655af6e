#include "service/lifecycle/traffic.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/lifecycle/testing/fake_traffic.h"

namespace lifecycle {
namespace {

using ::testing::ElementsAre;

class TrafficGroupTest : public ::testing::Test {
 protected:
  TrafficGroupTest() {
    first_.on_call = [this](const std::string& step) { steps_.push_back("first " + step); };
    second_.on_call = [this](const std::string& step) { steps_.push_back("second " + step); };
  }

  Patience Short() { return Patience(Clock::Steady(), std::chrono::milliseconds(20), {}); }

  FakeTraffic first_;
  FakeTraffic second_;
  TrafficGroup group_{{&first_, &second_}};
  std::vector<std::string> steps_;
};

TEST_F(TrafficGroupTest, DoesEachStepForAllBeforeTheNext) {
  EXPECT_TRUE(group_.Open().ok());
  group_.CloseListener();
  group_.WarnIfCallersWait();
  group_.BeginShutdown();
  EXPECT_THAT(
      steps_,
      ElementsAre("first Listen", "second Listen", "first OpenListener", "second OpenListener",
                  "first CloseListener", "second CloseListener", "first WarnIfCallersWait",
                  "second WarnIfCallersWait", "first BeginShutdown", "second BeginShutdown"));
}

TEST_F(TrafficGroupTest, LetsNobodyInWhenOneFails) {
  second_.listens = absl::UnavailableError("no port");
  EXPECT_EQ(group_.Open(), second_.listens);
  EXPECT_THAT(steps_, ElementsAre("first Listen", "second Listen"));
}

TEST(TrafficGroupDeathTest, AcceptsOnlyMembersOfWhichEachIsThereOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  FakeTraffic first, second;
  EXPECT_DEATH(TrafficGroup(std::vector<Traffic*>()), "a TrafficGroup needs a server");
  EXPECT_DEATH(TrafficGroup({&first, nullptr}), "a server of a TrafficGroup is null");
  EXPECT_DEATH(TrafficGroup({&first, &second, &first}), "a server is in a TrafficGroup twice");
}

TEST_F(TrafficGroupTest, ClosesWhatIsSilentOnAll) {
  EXPECT_TRUE(group_.CloseSilent());
  first_.refuses_to_close = 1;
  first_.connections = second_.connections = Traffic::Departure::kSilent;
  EXPECT_FALSE(group_.CloseSilent());
  EXPECT_THAT(steps_, ElementsAre("first CloseSilent", "second CloseSilent"));
}

TEST_F(TrafficGroupTest, ReportsTheWorstAndTheSum) {
  Patience patience = Short();
  first_.load.streams = 3;
  second_.load.streams = 4;
  EXPECT_EQ(group_.Look().streams, 7);
  second_.connections = Traffic::Departure::kSilent;
  EXPECT_EQ(group_.AwaitConnectionsGone(patience), Traffic::Departure::kSilent);
  first_.connections = Traffic::Departure::kBusy;
  EXPECT_EQ(group_.AwaitConnectionsGone(patience), Traffic::Departure::kBusy);
  first_.calls_that_do_not_finish = 1;
  second_.calls_that_do_not_finish = 2;
  EXPECT_EQ(group_.AwaitCallsFinished(patience).calls, 3);
  EXPECT_EQ(group_.TryCallsRunning(), 3);
}

TEST_F(TrafficGroupTest, TellsEachMemberOfTheStreamsOfAll) {
  Patience patience = Short();
  group_.SayGoodbye(patience, 7);
  EXPECT_EQ(first_.told_streams, 7);
  EXPECT_EQ(second_.told_streams, 7);
}

TEST_F(TrafficGroupTest, AnswersOnlyIfAllDo) {
  EXPECT_TRUE(group_.Answers());
  second_.answers = false;
  EXPECT_FALSE(group_.Answers());
}

TEST_F(TrafficGroupTest, IsHandedOverWithAnyMember) {
  std::vector<std::string> to;
  group_.OnHandover([&to](const std::string& successor) { to.push_back(successor); });
  second_.handed_over("process 7");
  first_.handed_over("process 8");
  EXPECT_THAT(to, ElementsAre("process 7", "process 8"));
}

TEST_F(TrafficGroupTest, LooksAtAllEvenWhenOneHangs) {
  first_.calls_that_do_not_finish = 1;
  FakeClock clock;
  std::future<int> calls = std::async(std::launch::async, [&] {
    Patience patience(clock, std::chrono::seconds(8), {});
    return group_.AwaitCallsFinished(patience).calls;
  });
  clock.AwaitWaiters(1);
  clock.Advance(std::chrono::seconds(8));
  EXPECT_EQ(calls.get(), 1);
  // A demand comes only when time is nearly up.
  EXPECT_THAT(steps_, ElementsAre("first CallsFinished", "second CallsFinished",
                                  "first DemandAnswers", "second DemandAnswers"));
}

TEST_F(TrafficGroupTest, CancelsAllEvenWhenOneHangs) {
  first_.ends = false;
  Patience patience = Short();
  EXPECT_FALSE(group_.Cancel(patience));
  EXPECT_THAT(steps_, ::testing::Contains("second KeepCancelling").Times(1));
  first_.ends = true;
  Patience again = Short();
  EXPECT_TRUE(group_.Cancel(again));
}

TEST_F(TrafficGroupTest, AddsUpTheCalls) {
  CallTally::Method echo;
  echo.name = "/a.A/Echo";
  echo.finished = 2;
  first_.tally.methods = {echo};
  echo.left = 1;
  second_.tally.methods = {echo};
  second_.tally.streams_cut = 5;
  const CallTally sum = group_.TryTally();
  ASSERT_EQ(sum.methods.size(), 1u);
  EXPECT_EQ(sum.methods[0].finished, 4);
  EXPECT_EQ(sum.methods[0].left, 1);
  EXPECT_EQ(sum.streams_cut, 5);
}

TEST(RunningCalls, NamesTheMethodsOfRunningCalls) {
  EXPECT_EQ(RunningCalls({}), "");
  EXPECT_EQ(RunningCalls({.methods = {{.name = "", .left = 2},
                                      {.name = "/a.B/C", .finished = 4, .left = 1},
                                      {.name = "/a.B/D", .finished = 3}}}),
            "2 others, 1 /a.B/C");
}

}  // namespace
}  // namespace lifecycle
