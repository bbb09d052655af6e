#include "tests/common/order_rules.h"

#include <signal.h>

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace testkit {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A clean shutdown, after a SIGTERM.
const std::string kStory =
    "serving on 127.0.0.1:50051\n"
    "12:00:00.000 I orders: Serving             Serving\n"
    "12:00:01.000 I orders: shutdown +0.000s Serving             ShutdownRequested: terminate, all "
    "= 30s\n"
    "12:00:01.001 I orders: shutdown +0.001s LameDuck            LameDuckEntered\n"
    "12:00:01.002 I orders: shutdown +0.002s DrainingConnections ListenerClosed\n"
    "12:00:01.003 I orders: shutdown +0.003s DrainingConnections GoodbyeSaid: 2 streams\n"
    "12:00:01.004 I orders: shutdown +0.004s DrainingConnections ConnectionsGone\n"
    "12:00:01.005 I orders: shutdown +0.005s DrainingCalls       NewCallsRefused\n"
    "12:00:01.006 I orders: shutdown +0.006s DrainingCalls       CallsFinished\n"
    "12:00:01.007 I orders: shutdown +0.007s CancellingCalls     ServerStopped\n"
    "12:00:01.008 I orders: shutdown +0.008s StoppingWorkers     WorkersStopped\n"
    "12:00:01.009 I orders: shutdown +0.009s SavingState         StateSaved \"totals\"\n"
    "12:00:01.010 I orders: shutdown +0.010s ClosingResources    Closed \"channel\"\n"
    "12:00:01.011 I orders: shutdown +0.011s ClosingResources    Closed \"database\"\n"
    "12:00:01.012 I orders: shutdown +0.012s Stopped             Stopped: exit code 0\n";

const Ending kClean = Ending::Exited(0);

using Changes = std::vector<std::pair<std::string, std::string>>;

std::string Story(const Changes& changes) {
  std::string story = kStory;
  for (const auto& [from, to] : changes) {
    const std::size_t at = story.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    story.replace(at, from.size(), to);
  }
  return story;
}

std::vector<std::string> Broken(const Changes& changes, Ending ending = kClean,
                                const Uses& uses = {}) {
  return BrokenRules(Story(changes), ending, uses);
}

// The whole line of an event, to take it out.
std::string LineOf(const std::string& event) {
  const std::size_t at = kStory.find(" " + event);
  const std::size_t begin = kStory.rfind('\n', at) + 1;
  return kStory.substr(begin, kStory.find('\n', at) + 1 - begin);
}

std::string UpTo(const std::string& event) { return kStory.substr(0, kStory.find(LineOf(event))); }

TEST(OrderRulesTest, AreKeptByACleanShutdown) {
  EXPECT_THAT(kStory, KeepsTheOrderOfAShutdown(kClean));
  EXPECT_THAT(kStory, KeepsTheOrderOfAShutdown(kClean, Uses{{"channel", "database"}}));
}

TEST(OrderRulesTest, AreKeptThoughEverythingFails) {
  const Changes all = {
      {"ConnectionsGone", "ConnectionsRemain"},
      {"I orders: shutdown +0.006s DrainingCalls       CallsFinished",
       "W orders: shutdown +0.006s DrainingCalls       CallsCut: 1 calls still ran"},
      {"I orders: shutdown +0.007s CancellingCalls     ServerStopped",
       "W orders: shutdown +0.007s CancellingCalls     ServerAbandoned: 1 calls did not end"},
      {"I orders: shutdown +0.008s StoppingWorkers     WorkersStopped",
       "W orders: shutdown +0.008s StoppingWorkers     WorkerFailed \"feed\": INTERNAL: threw: x\n"
       "12:00:01.008 W orders: shutdown +0.008s StoppingWorkers     WorkerFailed \"relay\": "
       "DEADLINE_EXCEEDED"},
      {"I orders: shutdown +0.009s SavingState         StateSaved \"totals\"",
       "W orders: shutdown +0.009s SavingState         SaveFailed \"totals\": DATA_LOSS: disk "
       "full"},
      {"I orders: shutdown +0.010s ClosingResources    Closed \"channel\"",
       "W orders: shutdown +0.010s ClosingResources    CloseFailed \"channel\": DEADLINE_EXCEEDED"},
      {"exit code 0", "exit code 4"}};
  EXPECT_THAT(Broken(all, Ending::Exited(4)), IsEmpty());
}

TEST(OrderRulesTest, AreKeptByAnInterrupt) {
  EXPECT_THAT(Broken({{"terminate", "interrupt"}, {LineOf("LameDuckEntered"), ""}}), IsEmpty());
  EXPECT_THAT(Broken({{"terminate", "handover: to process 7"}, {LineOf("LameDuckEntered"), ""}}),
              IsEmpty());
}

// A manual drain in front of the shutdown.
const std::string kServing = LineOf("Serving  ");
const std::string kRequest = LineOf("ShutdownRequested");
const std::string kLameDuck = LineOf("LameDuckEntered");
const std::string kDrainRequested =
    "12:00:00.100 I orders: Serving             ManualDrainRequested\n";
const std::string kDrained = "12:00:00.200 I orders: DrainingConnections Drained\n";
const std::string kEnteredByHand = "12:00:00.100 I orders: LameDuck            LameDuckEntered\n";
const std::string kLeftByHand =
    "12:00:00.100 I orders: DrainingConnections ListenerClosed\n"
    "12:00:00.100 I orders: DrainingConnections GoodbyeSaid: 2 streams\n";

// The request to stop as it is told in another phase.
std::string RequestIn(const std::string& phase) {
  std::string request = kRequest;
  return request.replace(request.find("Serving"), 20, phase + std::string(20 - phase.size(), ' '));
}

// The clean shutdown, behind what a manual drain has told before.
std::string DrainedByHand(const std::string& story) {
  return kServing + story + kStory.substr(kStory.find(LineOf("ConnectionsGone")));
}

const std::string kDrainedFirst = kDrainRequested + kEnteredByHand + kLeftByHand + kDrained;

TEST(OrderRulesTest, AreKeptByShutdownAfterManualDrain) {
  EXPECT_THAT(DrainedByHand(kDrainedFirst + RequestIn("DrainingConnections")),
              KeepsTheOrderOfAShutdown(kClean));
}

TEST(OrderRulesTest, AreKeptByShutdownDuringManualDrain) {
  EXPECT_THAT(DrainedByHand(kDrainRequested + kEnteredByHand + kLeftByHand +
                            RequestIn("DrainingConnections")),
              KeepsTheOrderOfAShutdown(kClean));
  EXPECT_THAT(DrainedByHand(kDrainRequested + kEnteredByHand + RequestIn("LameDuck") +
                            LineOf("ListenerClosed") + LineOf("GoodbyeSaid")),
              KeepsTheOrderOfAShutdown(kClean));
}

TEST(OrderRulesTest, AreKeptByInterruptDuringManualDrain) {
  std::string story = DrainedByHand(kDrainedFirst + RequestIn("DrainingConnections"));
  story.replace(story.find("terminate"), 9, "interrupt");
  EXPECT_THAT(story, KeepsTheOrderOfAShutdown(kClean));
}

TEST(OrderRulesTest, AreKeptByManualDrainsThatWereUndone) {
  const std::string taken_back = kServing + kDrainRequested + kEnteredByHand;
  EXPECT_THAT(taken_back + taken_back + kStory, KeepsTheOrderOfAShutdown(kClean));
  EXPECT_THAT(taken_back + DrainedByHand(kDrainedFirst + RequestIn("DrainingConnections")),
              KeepsTheOrderOfAShutdown(kClean));
}

TEST(OrderRulesTest, ForwardIsBrokenByAStepBack) {
  EXPECT_THAT(BrokenRules(kServing + kEnteredByHand + kStory, kClean),
              testing::Contains("FORWARD: Serving in Serving after LameDuck"));
  EXPECT_THAT(
      BrokenRules(kServing + kDrainRequested + kEnteredByHand + kLeftByHand + kStory, kClean),
      testing::Contains("FORWARD: Serving in Serving after DrainingConnections"));
  EXPECT_THAT(Broken({{kLameDuck, kLameDuck + kServing}}),
              testing::Contains("FORWARD: Serving in Serving after LameDuck"));
}

TEST(OrderRulesTest, InItsPhaseForbidsAnEarlyRequest) {
  EXPECT_THAT(DrainedByHand(kDrainedFirst + RequestIn("DrainingConnections")),
              KeepsTheOrderOfAShutdown(kClean));
  EXPECT_THAT(BrokenRules(DrainedByHand(kDrainedFirst + RequestIn("LameDuck")), kClean),
              testing::Contains(
                  "IN_ITS_PHASE: ShutdownRequested in LameDuck instead of DrainingConnections"));
}

TEST(OrderRulesTest, ListenerFirstIsBrokenByAMisplacedRequest) {
  EXPECT_THAT(BrokenRules(DrainedByHand(kDrainRequested + kRequest + kLameDuck +
                                        LineOf("ListenerClosed") + LineOf("GoodbyeSaid")),
                          kClean),
              ElementsAre("LISTENER_FIRST: ShutdownRequested after ManualDrainRequested"));
  EXPECT_THAT(Broken({{kRequest, ""}, {kLameDuck, kLameDuck + RequestIn("LameDuck")}}),
              testing::Contains("LISTENER_FIRST: ShutdownRequested after LameDuckEntered"));
}

TEST(OrderRulesTest, ListenerFirstIsBrokenWithoutAManualDrain) {
  const std::string goodbye = LineOf("GoodbyeSaid");
  const std::string drained =
      "12:00:01.003 I orders: shutdown +0.003s DrainingConnections Drained\n";
  EXPECT_THAT(Broken({{goodbye, goodbye + drained}}),
              ElementsAre("LISTENER_FIRST: Drained is not of a manual drain"));
  EXPECT_THAT(BrokenRules(DrainedByHand(kDrainRequested + kEnteredByHand + kLeftByHand +
                                        RequestIn("DrainingConnections") + drained),
                          kClean),
              testing::Contains("LISTENER_FIRST: Drained is not of a manual drain"));
}

TEST(OrderRulesTest, EveryRunEndsRequiresALameDuck) {
  EXPECT_THAT(
      BrokenRules(DrainedByHand(kDrainRequested + kLeftByHand + RequestIn("DrainingConnections")),
                  kClean),
      ElementsAre("every_run_ends: LameDuckEntered is missing"));
}

TEST(OrderRulesTest, AreKeptByAShutdownBeforeServing) {
  EXPECT_THAT(Broken({{LineOf("Serving  "), ""},
                      {"Serving             ShutdownRequested", "Starting    ShutdownRequested"},
                      {LineOf("LameDuckEntered"), ""}}),
              IsEmpty());
}

TEST(OrderRulesTest, AreKeptByShutdownBeforeAnythingOpens) {
  EXPECT_THAT(BrokenRules("stopped before anything was opened; exit code 0\n", kClean), IsEmpty());
}

TEST(OrderRulesTest, AreKeptByAnUnfinishedShutdown) {
  const std::string so_far = UpTo("ServerStopped");
  EXPECT_THAT(so_far, KeepsTheOrderOfAShutdown(Ending::Killed(SIGKILL)));
  EXPECT_THAT(
      so_far +
          "watchdog: the shutdown has spent its grace of 30s; stuck in phase CancellingCalls\n",
      KeepsTheOrderOfAShutdown(Ending::Exited(5)));
  EXPECT_THAT(so_far + "third signal: leaving at once, nothing more is saved or closed\n",
              KeepsTheOrderOfAShutdown(Ending::Exited(6)));
  EXPECT_THAT(kStory + "watchdog: the shutdown has spent its grace of 30s; stuck after the stop\n",
              KeepsTheOrderOfAShutdown(Ending::Exited(5)));
}

TEST(OrderRulesTest, AreKeptByAFailedStart) {
  const std::string story =
      "12:00:00.000 W orders: Starting     CouldNotStart: UNAVAILABLE: port in use\n"
      "12:00:00.001 W orders: ClosingResources    CloseFailed \"channel\": DATA_LOSS: disk full\n"
      "12:00:00.002 I orders: ClosingResources    Closed \"database\"\n"
      "12:00:00.003 E orders: could not start: port in use\n";
  EXPECT_THAT(story, KeepsTheOrderOfAShutdown(Ending::Exited(2)));
  EXPECT_THAT(BrokenRules(story, Ending::Exited(4)),
              ElementsAre("CLEAN: could not start, but exit code 4"));
  EXPECT_THAT(BrokenRules("could not start: port in use\n", Ending::Exited(2)),
              ElementsAre("every_run_ends: CouldNotStart is missing"));
  EXPECT_THAT(Broken({}, Ending::Exited(2)),
              ElementsAre("CLEAN: did start, but exit code 2",
                          "CLEAN: exit code 2, but what is told leads to 0",
                          "TOLD: Stopped tells \"exit code 0\", but it was exit code 2"));
}

TEST(OrderRulesTest, ForwardForbidsARepeatedPhase) {
  EXPECT_THAT(
      Broken({{"CancellingCalls     ServerStopped", "DrainingConnections ServerStopped"}}),
      ElementsAre("IN_ITS_PHASE: ServerStopped in DrainingConnections instead of CancellingCalls",
                  "FORWARD: ServerStopped in DrainingConnections after DrainingCalls"));
}

TEST(OrderRulesTest, InItsPhaseForbidsAnEarlyEvent) {
  EXPECT_THAT(
      Broken({{"StoppingWorkers     WorkersStopped", "CancellingCalls     WorkersStopped"}}),
      ElementsAre("IN_ITS_PHASE: WorkersStopped in CancellingCalls instead of StoppingWorkers"));
}

TEST(OrderRulesTest, InItsPhaseForbidsAnUnknownEvent) {
  EXPECT_THAT(Broken({{"GoodbyeSaid: 2 streams",
                       "GoodbyeSaid\n"
                       "12:00:01.003 I orders: shutdown +0.003s DrainingConnections     "
                       "AuRevoirSaid"}}),
              ElementsAre("IN_ITS_PHASE: AuRevoirSaid is no event of a shutdown"));
}

TEST(OrderRulesTest, ListenerFirstIsBrokenByAnEarlyGoodbye) {
  EXPECT_THAT(Broken({{"ListenerClosed", "GoodbyeSaid"}, {"GoodbyeSaid: 2", "ListenerClosed: 2"}}),
              ElementsAre("LISTENER_FIRST: ListenerClosed after GoodbyeSaid"));
}

TEST(OrderRulesTest, ListenerFirstIsBrokenByAnEarlyShutdown) {
  const std::string listener = LineOf("ListenerClosed");
  const std::string shutdown = LineOf("NewCallsRefused");
  EXPECT_THAT(Broken({{listener, ""}, {shutdown, shutdown + listener}}),
              ElementsAre("FORWARD: ListenerClosed in DrainingConnections after DrainingCalls",
                          "LISTENER_FIRST: ListenerClosed after NewCallsRefused",
                          "TIME: ListenerClosed is earlier than what was told before it"));
}

TEST(OrderRulesTest, ListenerFirstIsBrokenByARepeatedEvent) {
  const std::string calls = LineOf("CallsFinished");
  EXPECT_THAT(Broken({{calls, calls + calls}}),
              ElementsAre("LISTENER_FIRST: CallsFinished besides CallsFinished"));
  const std::string database = LineOf("Closed \"database\"");
  EXPECT_THAT(Broken({{database, database + database}}),
              ElementsAre("LISTENER_FIRST: Closed \"database\" was told of before"));
}

TEST(OrderRulesTest, ListenerFirstIsBrokenByContradictoryEvents) {
  EXPECT_THAT(
      Broken(
          {{LineOf("WorkersStopped"),
            LineOf("WorkersStopped") +
                "12:00:01.008 W orders: shutdown +0.008s StoppingWorkers     WorkerFailed \"x\"\n"},
           {"exit code 0", "exit code 3"}},
          Ending::Exited(3)),
      ElementsAre("LISTENER_FIRST: WorkerFailed \"x\" besides WorkersStopped"));
}

TEST(OrderRulesTest, AFailureOfWorkMayComeWhileClosing) {
  const std::string stopped = LineOf("Stopped");
  EXPECT_THAT(Broken({{stopped,
                       "12:00:01.011 W orders: shutdown +0.011s ClosingResources    WorkerFailed "
                       "\"pool\": INTERNAL: threw\n" +
                           stopped},
                      {"exit code 0", "exit code 3"}},
                     Ending::Exited(3)),
              ElementsAre());
}

TEST(OrderRulesTest, NotInUseForbidsClosingADependencyFirst) {
  EXPECT_THAT(Broken({}, kClean, {{"database", "channel"}}),
              ElementsAre("NOT_IN_USE: \"channel\" is closed before \"database\", which uses it"));
}

TEST(OrderRulesTest, NotInUseForbidsLeavingAUserOpen) {
  EXPECT_THAT(Broken({}, kClean, {{"pool", "database"}}),
              ElementsAre("NOT_IN_USE: \"database\" is closed before \"pool\", which uses it",
                          "every_run_ends: \"pool\" was not closed"));
}

TEST(OrderRulesTest, CleanForbidsAWarningBeforeExitCode0) {
  EXPECT_THAT(Broken({{"I orders: shutdown +0.011s ClosingResources    Closed",
                       "W orders: shutdown +0.011s ClosingResources    CloseFailed"}}),
              ElementsAre("CLEAN: exit code 0, but what is told leads to 4"));
}

TEST(OrderRulesTest, CleanIsBrokenByAnUnexplainedExitCode) {
  EXPECT_THAT(Broken({{"exit code 0", "exit code 3"}}, Ending::Exited(3)),
              ElementsAre("CLEAN: exit code 3, but what is told leads to 0"));
}

TEST(OrderRulesTest, CleanForbidsAFailureWithoutItsWarning) {
  EXPECT_THAT(
      Broken({{"CallsFinished", "CallsCut"}, {"exit code 0", "exit code 3"}}, Ending::Exited(3)),
      ElementsAre("CLEAN: CallsCut without a warning"));
}

TEST(OrderRulesTest, CleanForbidsAWarningAboutASuccess) {
  EXPECT_THAT(Broken({{"I orders: shutdown +0.004s", "W orders: shutdown +0.004s"}}),
              ElementsAre("CLEAN: ConnectionsGone as a warning"));
}

TEST(OrderRulesTest, CleanIsBrokenByContradictingLastWords) {
  EXPECT_THAT(BrokenRules(kStory, Ending::Exited(5)),
              ElementsAre("CLEAN: the watchdog's exit code without its last words"));
  EXPECT_THAT(BrokenRules(kStory, Ending::Exited(6)),
              ElementsAre("CLEAN: the third signal's exit code without its last words"));
  EXPECT_THAT(
      BrokenRules(UpTo("Stopped:") + "watchdog: the shutdown has spent its grace\n", kClean),
      ElementsAre("CLEAN: last words as of one that left on its way, but exit code 0",
                  "every_run_ends: Stopped is missing"));
  EXPECT_THAT(BrokenRules(kStory + "watchdog: the shutdown has spent its grace\n", kClean),
              IsEmpty());
}

TEST(OrderRulesTest, EveryRunEndsForbidsAMissingEvent) {
  for (const std::string event :
       {"LameDuckEntered", "ListenerClosed", "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused",
        "CallsFinished", "ServerStopped", "WorkersStopped", "Stopped:"}) {
    EXPECT_THAT(Broken({{LineOf(event), ""}}),
                ElementsAre(testing::MatchesRegex("every_run_ends: .* is missing")))
        << event;
  }
}

TEST(OrderRulesTest, EveryRunEndsForbidsALateLameDuck) {
  EXPECT_THAT(
      Broken({{"terminate", "interrupt"}}),
      ElementsAre(
          "every_run_ends: LameDuckEntered after an interrupt or a handover, or without having "
          "served"));
}

TEST(OrderRulesTest, EveryRunEndsForbidsARunningProcess) {
  EXPECT_THAT(BrokenRules(UpTo("Stopped:"), Ending()),
              ElementsAre("every_run_ends: the process still runs"));
}

TEST(OrderRulesTest, ToldIsBrokenByAWrongExitCode) {
  EXPECT_THAT(Broken({{"exit code 0", "exit code 3"}}),
              ElementsAre("TOLD: Stopped tells \"exit code 3\", but it was exit code 0"));
}

TEST(OrderRulesTest, TimeIsBrokenWhenItRunsBackwards) {
  EXPECT_THAT(Broken({{"+0.008s", "+0.003s"}}),
              ElementsAre("TIME: WorkersStopped is earlier than what was told before it"));
}

TEST(OrderRulesTest, TimeIsBrokenByALateRequest) {
  EXPECT_THAT(Broken({{"+0.000s", "+0.001s"}}),
              ElementsAre("TIME: ShutdownRequested is not at +0.000s"));
}

TEST(OrderRulesTest, SayWhichIsBrokenWhenATestFails) {
  testing::StringMatchResultListener words;
  EXPECT_FALSE(testing::ExplainMatchResult(
      KeepsTheOrderOfAShutdown(kClean, Uses{{"database", "channel"}}), kStory, &words));
  EXPECT_THAT(words.str(), HasSubstr("\n  NOT_IN_USE: \"channel\" is closed before"));
  EXPECT_THAT("", Not(KeepsTheOrderOfAShutdown(kClean)));
}

}  // namespace
}  // namespace testkit
