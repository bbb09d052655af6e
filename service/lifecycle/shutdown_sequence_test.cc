#include "service/lifecycle/shutdown_sequence.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <limits>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/testing/sequence_under_test.h"

namespace lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;

using ShutdownSequenceTest = SequenceUnderTest;

TEST_F(ShutdownSequenceTest, DoesEverythingInOrderAfterATerminate) {
  const ShutdownOutcome outcome = Run(ShutdownReason::kTerminate);
  EXPECT_THAT(
      observer_.Lines(),
      ElementsAre("Listen()", "OpenListener()", "Serving", "ShutdownRequested", "EnterLameDuck()",
                  "LameDuckEntered", "CloseListener()", "ListenerClosed", "SayGoodbye()",
                  "GoodbyeSaid",                                                                  //
                  "AwaitConnectionsGone()", "ConnectionsGone",                                    //
                  "BeginShutdown()", "NewCallsRefused", "AwaitCallsFinished()", "CallsFinished",  //
                  "Cancel()", "ServerStopped",                                                    //
                  "WorkersStopped", "StateSaved totals",                                          //
                  "Closed channel", "Closed database", "Stopped"));
  EXPECT_EQ(outcome.exit_code, ExitCode::kClean);
  EXPECT_FALSE(outcome.abandoned);
}

TEST_F(ShutdownSequenceTest, SkipsTheLameDuckAfterAnInterrupt) {
  budget_.lame_duck = hours(1);
  const ShutdownOutcome outcome = Run(ShutdownReason::kInterrupt);
  EXPECT_THAT(
      observer_.Lines(),
      ElementsAre("Listen()", "OpenListener()", "Serving", "ShutdownRequested", "CloseListener()",
                  "ListenerClosed", "SayGoodbye()", "GoodbyeSaid", "AwaitConnectionsGone()",
                  "ConnectionsGone", "BeginShutdown()", "NewCallsRefused", "AwaitCallsFinished()",
                  "CallsFinished", "Cancel()", "ServerStopped", "WorkersStopped",
                  "StateSaved totals", "Closed channel", "Closed database", "Stopped"));
  EXPECT_EQ(outcome.exit_code, ExitCode::kClean);
}

TEST_F(ShutdownSequenceTest, SkipsTheLameDuckAfterAHandover) {
  budget_.lame_duck = hours(1);
  const Clock::TimePoint start = clock_.Now();
  Run(ShutdownReason::kHandover);
  EXPECT_THAT(observer_.Lines(), testing::Not(testing::Contains("EnterLameDuck()")));
  EXPECT_EQ(clock_.Now(), start);
}

TEST_F(ShutdownSequenceTest, DoesNotWaitWithoutNeed) {
  const Clock::TimePoint start = clock_.Now();
  Run(ShutdownReason::kTerminate);
  EXPECT_EQ(clock_.Now(), start);
}

TEST_F(ShutdownSequenceTest, SaysInWhichPhaseEachEventHappened) {
  Run(ShutdownReason::kTerminate);
  std::vector<std::string> told;
  for (const Event& event : observer_.Events()) {
    EXPECT_TRUE(event.ok()) << event.name();
    told.push_back(std::string(PhaseName(event.phase)) + " " + event.name());
  }
  EXPECT_THAT(
      told, ElementsAre("Serving Serving", "Serving ShutdownRequested", "LameDuck LameDuckEntered",
                        "DrainingConnections ListenerClosed", "DrainingConnections GoodbyeSaid",
                        "DrainingConnections ConnectionsGone", "DrainingCalls NewCallsRefused",
                        "DrainingCalls CallsFinished", "CancellingCalls ServerStopped",
                        "StoppingWorkers WorkersStopped", "SavingState StateSaved",
                        "ClosingResources Closed", "ClosingResources Closed", "Stopped Stopped"));
}

TEST_F(ShutdownSequenceTest, GivesEachPhaseAllTimeNotGuaranteedLater) {
  budget_.lame_duck = seconds(10);
  budget_.grace = seconds(40);
  auto future = Start(ShutdownReason::kTerminate);
  Pass(budget_.lame_duck);
  future.get();
  const auto later = start_ + budget_.lame_duck;
  const auto phase = [&](Phase name) {
    return testing::FieldsAre(name, later, start_ + budget_.EndOf(name) - later);
  };
  EXPECT_THAT(observer_.Phases(),
              ElementsAre(testing::FieldsAre(Phase::kServing, start_, std::nullopt),
                          testing::FieldsAre(Phase::kLameDuck, start_, budget_.lame_duck),
                          phase(Phase::kDrainingConnections), phase(Phase::kDrainingCalls),
                          phase(Phase::kCancellingCalls), phase(Phase::kStoppingWorkers),
                          phase(Phase::kSavingState), phase(Phase::kClosingResources),
                          phase(Phase::kStopped)));
  EXPECT_THAT(observer_.Limits(), testing::IsEmpty()) << "known from the beginning of each";
}

TEST_F(ShutdownSequenceTest, ReportsEachClosersTimeAndFate) {
  channel_ = Hangs("channel");
  auto future = Start(ShutdownReason::kTerminate);
  observer_.Await("channel hangs");
  clock_.Advance(budget_.EndOf(Phase::kClosingResources) - ShutdownRegistry::kGuaranteed);
  future.get();
  const std::vector<Event> events = observer_.Events();
  ASSERT_GE(events.size(), 3U);
  const Event& channel = events[events.size() - 3];
  EXPECT_EQ(channel.subject, "channel");
  EXPECT_EQ(channel.took, budget_.EndOf(Phase::kClosingResources) - ShutdownRegistry::kGuaranteed);
  EXPECT_TRUE(channel.passed_over);
  const Event& database = events[events.size() - 2];
  EXPECT_EQ(database.subject, "database");
  EXPECT_FALSE(database.passed_over);
}

TEST_F(ShutdownSequenceTest, StaysALameDuckForItsFullTime) {
  budget_.lame_duck = seconds(5);
  budget_.grace = seconds(35);
  auto outcome = Start(ShutdownReason::kTerminate);
  Pass(seconds(5) - milliseconds(1));
  clock_.AwaitWaiters(1);
  EXPECT_THAT(observer_.Lines(),
              ElementsAre("Listen()", "OpenListener()", "Serving", "ShutdownRequested",
                          "EnterLameDuck()", "LameDuckEntered"));
  Pass(milliseconds(1));
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
}

TEST_F(ShutdownSequenceTest, ContinuesCleanlyWhenConnectionsRemain) {
  traffic_.connections = Traffic::Departure::kBusy;
  auto outcome = Start(ShutdownReason::kTerminate);
  PassTo(Phase::kDrainingConnections);
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsRemain", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "StateSaved totals", "Closed channel",
                          "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceTest, WaitsNoLongerForConnectionsThatAreSilent) {
  traffic_.connections = Traffic::Departure::kSilent;
  EXPECT_EQ(Run(ShutdownReason::kTerminate).exit_code, ExitCode::kClean);
  EXPECT_EQ(clock_.Now(), start_);
  EXPECT_EQ(DetailOf("ConnectionsRemain"), "silent");
}

TEST_F(ShutdownSequenceTest, WaitsAgainIfOneThatWasSilentCallsWhenItIsToBeClosed) {
  traffic_.connections = Traffic::Departure::kSilent;
  traffic_.refuses_to_close = 1;
  auto outcome = Start(ShutdownReason::kTerminate);
  PassTo(Phase::kLameDuck);
  Pass(milliseconds(1));
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
  EXPECT_THAT(observer_.Lines(),
              testing::IsSupersetOf({"AwaitConnectionsGone()", "CloseSilent()",
                                     "AwaitConnectionsGone()", "CloseSilent()"}));
}

TEST_F(ShutdownSequenceTest, WaitsNoLongerForThatThanForAnythingElse) {
  traffic_.connections = Traffic::Departure::kSilent;
  traffic_.refuses_to_close = std::numeric_limits<int>::max();
  auto outcome = Start(ShutdownReason::kTerminate);
  PassTo(Phase::kDrainingConnections);
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
  EXPECT_EQ(DetailOf("ConnectionsRemain"), "silent");
}

TEST_F(ShutdownSequenceTest, ReportsHowManyStreamsGotAGoodbye) {
  traffic_.load.streams = 4;
  Run(ShutdownReason::kTerminate);
  EXPECT_EQ(DetailOf("GoodbyeSaid"), "4 streams");
}

TEST_F(ShutdownSequenceTest, CutsCallsThatDoNotFinish) {
  traffic_.calls_that_do_not_finish = 3;
  traffic_.tally.methods = {{.name = "", .left = 1},
                            {.name = "/a.B/C", .finished = 7, .left = 2},
                            {.name = "/a.B/D", .finished = 7}};
  auto outcome = Start(ShutdownReason::kTerminate);
  PassTo(Phase::kDrainingCalls);
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kForced);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsCut",
                          "ServerStopped", "WorkersStopped", "StateSaved totals", "Closed channel",
                          "Closed database", "Stopped"));
  EXPECT_EQ(DetailOf("CallsCut"), "3 calls still ran (1 others, 2 /a.B/C)");
  EXPECT_EQ(DetailOf("Stopped"), "exit code 3");
}

TEST_F(ShutdownSequenceTest, CountsUnfinishedRequestsAndAnswersAsCut) {
  traffic_.requests_that_do_not_arrive = 1;
  traffic_.answers_that_do_not_leave = 2;
  auto outcome = Start(ShutdownReason::kTerminate);
  PassTo(Phase::kDrainingCalls);
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kForced);
  EXPECT_EQ(DetailOf("CallsCut"),
            "1 requests were still arriving, answers on 2 connections had not left");
}

TEST_F(ShutdownSequenceTest, ReportsALateCallThatWasCut) {
  traffic_.tally.methods = {{.name = "/a.B/C", .finished = 7, .cancelled = 2}};  // Their callers.
  SetTheOthersUp();
  on_event_["Serving"] = [this] { request_.Request(ShutdownReason::kTerminate); };
  traffic_.on_call = [this](const std::string& method) {
    if (method == "Cancel") traffic_.tally.methods[0].cancelled = 3;
  };
  EXPECT_EQ(RunIt().exit_code, ExitCode::kForced);
  EXPECT_EQ(DetailOf("LateCallsCut"), "1 calls");
}

TEST_F(ShutdownSequenceTest, ReportsALateCallThatHadBegunBefore) {
  traffic_.tally.methods = {{.name = "/a.B/C", .finished = 7, .left = 1}};  // Begun a moment ago.
  SetTheOthersUp();
  on_event_["Serving"] = [this] { request_.Request(ShutdownReason::kTerminate); };
  traffic_.on_call = [this](const std::string& method) {
    if (method == "Cancel") {
      traffic_.tally.methods = {{.name = "/a.B/C", .finished = 7, .cancelled = 1}};
    }
  };
  EXPECT_EQ(RunIt().exit_code, ExitCode::kForced);
  EXPECT_EQ(DetailOf("LateCallsCut"), "1 calls");
}

TEST_F(ShutdownSequenceTest, SavesAfterAbandoningAServerThatHangs) {
  traffic_.calls_that_do_not_finish = 1;
  traffic_.tally.methods = {{.name = "/a.B/C", .left = 1}};
  traffic_.ends = false;
  auto future = Start(ShutdownReason::kTerminate);
  PassTo(Phase::kDrainingCalls);
  PassTo(Phase::kCancellingCalls);
  const ShutdownOutcome outcome = future.get();
  EXPECT_EQ(outcome.exit_code, ExitCode::kForced);
  EXPECT_TRUE(outcome.abandoned);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsCut",
                          "ServerAbandoned", "WorkersStopped", "StateSaved totals",
                          "Closed channel", "Closed database", "Stopped"));
  EXPECT_EQ(DetailOf("ServerAbandoned"), "1 calls did not end (1 /a.B/C)");
}

TEST_F(ShutdownSequenceTest, NamesAWorkerThatHangs) {
  worker_ = WorksForEver();
  auto future = Start(ShutdownReason::kTerminate);
  PassTo(Phase::kStoppingWorkers);
  const ShutdownOutcome outcome = future.get();
  EXPECT_EQ(outcome.exit_code, ExitCode::kForced);
  EXPECT_TRUE(outcome.abandoned);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkerFailed relay", "StateSaved totals",
                          "Closed channel", "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceTest, NamesAWorkerThatThrew) {
  worker_ = [](std::stop_token) { throw std::runtime_error("no disk"); };
  const ShutdownOutcome outcome = Run(ShutdownReason::kTerminate);
  EXPECT_EQ(outcome.exit_code, ExitCode::kForced);
  EXPECT_FALSE(outcome.abandoned);
  EXPECT_EQ(DetailOf("WorkerFailed"), "INTERNAL: threw: no disk");
}

// As of work that a pool finishes while it is closed.
TEST_F(ShutdownSequenceTest, NamesWhatFailsWhileResourcesClose) {
  channel_ = [this](Clock::TimePoint) {
    Parts().workers.Fail("pool", absl::InternalError("threw"));
    return absl::OkStatus();
  };
  EXPECT_EQ(Run(ShutdownReason::kTerminate).exit_code, ExitCode::kForced);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "StateSaved totals", "Closed channel",
                          "Closed database", "WorkerFailed pool", "Stopped"));
  EXPECT_EQ(DetailOf("WorkerFailed"), "INTERNAL: threw");
  EXPECT_EQ(DetailOf("Stopped"), "exit code 3");
}

TEST_F(ShutdownSequenceTest, APhaseThatBeginsLateHasNoTime) {
  on_event_["WorkersStopped"] = [this] { clock_.Advance(hours(1)); };
  Run(ShutdownReason::kTerminate);
  const auto phases = observer_.Phases();
  EXPECT_EQ(phases.back().phase, Phase::kStopped);
  EXPECT_EQ(phases.back().budget, Clock::Duration::zero());
}

TEST_F(ShutdownSequenceTest, NamesASaverThatFails) {
  saver_ = Returns(absl::DataLossError("disk full"));
  const ShutdownOutcome outcome = Run(ShutdownReason::kTerminate);
  EXPECT_EQ(outcome.exit_code, ExitCode::kCloseFailed);
  EXPECT_FALSE(outcome.abandoned);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "SaveFailed totals", "Closed channel",
                          "Closed database", "Stopped"));
  EXPECT_EQ(DetailOf("SaveFailed"), "DATA_LOSS: disk full");
}

TEST_F(ShutdownSequenceTest, PassesOverASaverThatHangs) {
  saver_ = Hangs("totals");
  auto future = Start(ShutdownReason::kTerminate);
  observer_.Await("totals hangs");
  clock_.Advance(budget_.EndOf(Phase::kSavingState));
  const ShutdownOutcome outcome = future.get();
  EXPECT_EQ(outcome.exit_code, ExitCode::kCloseFailed);
  EXPECT_TRUE(outcome.abandoned);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "SaveFailed totals", "Closed channel",
                          "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceTest, NamesACloserThatFails) {
  channel_ = Returns(absl::UnavailableError("gone"));
  const ShutdownOutcome outcome = Run(ShutdownReason::kTerminate);
  EXPECT_EQ(outcome.exit_code, ExitCode::kCloseFailed);
  EXPECT_FALSE(outcome.abandoned);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "StateSaved totals",
                          "CloseFailed channel", "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceTest, NamesACloserThatThrows) {
  channel_ = [](Clock::TimePoint) -> absl::Status { throw std::runtime_error("oops"); };
  const ShutdownOutcome outcome = Run(ShutdownReason::kTerminate);
  EXPECT_EQ(outcome.exit_code, ExitCode::kCloseFailed);
  EXPECT_FALSE(outcome.abandoned);
  EXPECT_EQ(DetailOf("CloseFailed"), "INTERNAL: threw: oops");
}

TEST_F(ShutdownSequenceTest, PassesOverACloserThatHangs) {
  channel_ = Hangs("channel");
  auto future = Start(ShutdownReason::kTerminate);
  observer_.Await("channel hangs");
  clock_.Advance(budget_.EndOf(Phase::kClosingResources) - ShutdownRegistry::kGuaranteed);
  const ShutdownOutcome outcome = future.get();
  EXPECT_EQ(outcome.exit_code, ExitCode::kCloseFailed);
  EXPECT_TRUE(outcome.abandoned);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "StateSaved totals",
                          "CloseFailed channel", "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceTest, ReturnsTheHighestCodeThatApplies) {
  saver_ = Returns(absl::DataLossError("disk full"));
  worker_ = [](std::stop_token) { throw std::runtime_error("no disk"); };
  EXPECT_EQ(Run(ShutdownReason::kTerminate).exit_code, ExitCode::kCloseFailed);
}

TEST_F(ShutdownSequenceTest, MarksEveryFailureAsAFailure) {
  saver_ = Returns(absl::DataLossError("disk full"));
  channel_ = Returns(absl::UnavailableError("gone"));
  worker_ = [](std::stop_token) { throw std::runtime_error("no disk"); };
  Run(ShutdownReason::kTerminate);
  std::vector<std::string> failures;
  for (const Event& event : observer_.Events()) {
    if (!event.ok()) failures.push_back(event.name());
  }
  EXPECT_THAT(failures, ElementsAre("WorkerFailed", "SaveFailed", "CloseFailed"));
}

TEST_F(ShutdownSequenceTest, EndsWithinItsGraceWhenNothingEnds) {
  budget_.lame_duck = seconds(10);
  budget_.grace = seconds(40);
  traffic_.connections = Traffic::Departure::kBusy;
  traffic_.ends = false;
  traffic_.calls_that_do_not_finish = 1;
  worker_ = WorksForEver();
  saver_ = Hangs("totals");
  channel_ = Hangs("channel");
  auto future = Start(ShutdownReason::kTerminate);
  for (Phase phase : {Phase::kLameDuck, Phase::kDrainingConnections, Phase::kDrainingCalls,
                      Phase::kCancellingCalls, Phase::kStoppingWorkers}) {
    PassTo(phase);
  }
  observer_.Await("totals hangs");
  PassTo(Phase::kSavingState);
  observer_.Await("channel hangs");
  Pass(budget_.close_resources - ShutdownRegistry::kGuaranteed);
  const ShutdownOutcome outcome = future.get();
  EXPECT_LE(clock_.Now(), start_ + budget_.grace);
  EXPECT_EQ(outcome.exit_code, ExitCode::kCloseFailed);
  EXPECT_TRUE(outcome.abandoned);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsRemain", "NewCallsRefused", "CallsCut",
                          "ServerAbandoned", "WorkerFailed relay", "SaveFailed totals",
                          "CloseFailed channel", "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceTest, KeepsTheOrderWhenExpeditedAndNothingEnds) {
  budget_.lame_duck = seconds(10);
  budget_.grace = seconds(40);
  traffic_.connections = Traffic::Departure::kBusy;
  traffic_.ends = false;
  traffic_.calls_that_do_not_finish = 1;
  worker_ = WorksForEver();
  channel_ = Hangs("channel");
  request_.Expedite();
  auto future = Start(ShutdownReason::kTerminate);
  // The lame duck, connections, calls, streams and workers.
  for (int phase = 0; phase < 5; ++phase) Pass(Patience::kExpedited);
  observer_.Await("channel hangs");
  clock_.Advance(Patience::kExpedited / 4 * 3);
  EXPECT_EQ(future.get().exit_code, ExitCode::kCloseFailed);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsRemain", "NewCallsRefused", "CallsCut",
                          "ServerAbandoned", "WorkerFailed relay", "StateSaved totals",
                          "CloseFailed channel", "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceTest, ReportsHowManyCallsGotTheHint) {
  traffic_.load.hinted = 12;
  Run(ShutdownReason::kTerminate);
  EXPECT_EQ(DetailOf("ListenerClosed"), "12 calls hinted");
}

TEST_F(ShutdownSequenceTest, LetsNobodyInAfterAnEarlierShutdownRequest) {
  request_.Request(ShutdownReason::kTerminate);
  Start().get();
  EXPECT_THAT(observer_.Lines(),
              ElementsAre("ShutdownRequested", "CloseListener()", "ListenerClosed", "SayGoodbye()",
                          "GoodbyeSaid", "AwaitConnectionsGone()", "ConnectionsGone",
                          "BeginShutdown()", "NewCallsRefused", "AwaitCallsFinished()",
                          "CallsFinished", "Cancel()", "ServerStopped", "WorkersStopped",
                          "StateSaved totals", "Closed channel", "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceTest, ServesWhenTheShutdownIsRequestedWhileOpening) {
  SetTheOthersUp();
  traffic_.on_call = [this](const std::string& method) {
    if (method == "OpenListener") request_.Request(ShutdownReason::kTerminate);
  };
  RunIt();
  std::vector<std::string> told = Told();
  told.resize(4);
  EXPECT_THAT(told,
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed"));
}

TEST_F(ShutdownSequenceTest, ServesNobodyWhenCallersCannotBeAdmitted) {
  traffic_.listens = absl::UnavailableError("no port file");
  ShutdownSequence sequence(Parts(), budget_, clock_, observer_);
  EXPECT_EQ(sequence.Open(traffic_), traffic_.listens);
  EXPECT_THAT(observer_.Lines(), ElementsAre());
}

TEST_F(ShutdownSequenceTest, RollsBackAFailedStartWithoutSaving) {
  SetTheOthersUp();
  request_.Request(ShutdownReason::kInterrupt);
  ShutdownSequence sequence(Parts(), budget_, clock_, observer_);
  const ShutdownOutcome outcome = sequence.RollBack(absl::UnavailableError("port in use"));
  EXPECT_EQ(outcome.exit_code, ExitCode::kCouldNotStart);
  EXPECT_FALSE(outcome.abandoned);
  EXPECT_EQ(sequence.phase(), Phase::kStopped);
  EXPECT_THAT(observer_.Lines(),
              ElementsAre("CouldNotStart", "WorkersStopped", "Closed channel", "Closed database"));
  EXPECT_EQ(DetailOf("CouldNotStart"), "UNAVAILABLE: port in use");
}

TEST_F(ShutdownSequenceTest, CouldNotStartWhateverTheRollBackDoes) {
  worker_ = WorksForEver();
  channel_ = Returns(absl::DataLossError("broken"));
  SetTheOthersUp();
  request_.Request(ShutdownReason::kInterrupt);
  ShutdownSequence sequence(Parts(), budget_, clock_, observer_);
  auto rolled_back = std::async(
      std::launch::async, [&] { return sequence.RollBack(absl::UnavailableError("port in use")); });
  PassTo(Phase::kStoppingWorkers);
  const ShutdownOutcome outcome = rolled_back.get();
  EXPECT_EQ(outcome.exit_code, ExitCode::kCouldNotStart);
  EXPECT_TRUE(outcome.abandoned);
  EXPECT_THAT(observer_.Lines(), ElementsAre("CouldNotStart", "WorkerFailed relay",
                                             "CloseFailed channel", "Closed database"));
}

TEST_F(ShutdownSequenceTest, ReleasesAnUndoWhenTheStartFails) {
  SetTheOthersUp();
  drain_.Request();
  auto undo = std::async(std::launch::async, [this] { return drain_.Undo(); });
  drain_.AwaitUndo(clock_, Clock::TimePoint::max());
  request_.Request(ShutdownReason::kInterrupt);
  ShutdownSequence sequence(Parts(), budget_, clock_, observer_);
  sequence.RollBack(absl::UnavailableError("port in use"));
  EXPECT_TRUE(absl::IsFailedPrecondition(undo.get()));
}

// A second signal that comes while the sequence is held in one phase.
struct Hold {
  const char* phase;
  ExitCode exit_code;
  // What it tells instead of the event of a clean shutdown.
  const char* instead_of;
  const char* told;
};
std::ostream& operator<<(std::ostream& out, const Hold& hold) { return out << hold.phase; }

class SecondSignal : public ShutdownSequenceTest, public testing::WithParamInterface<Hold> {
 protected:
  void SetUp() override {
    const std::string phase = GetParam().phase;
    if (phase == "LameDuck") budget_.lame_duck = seconds(5), budget_.grace += seconds(5);
    if (phase == "DrainingConnections") traffic_.connections = Traffic::Departure::kBusy;
    if (phase == "DrainingCalls") traffic_.calls_that_do_not_finish = 2;
    if (phase == "CancellingCalls") traffic_.ends = false;
    if (phase == "StoppingWorkers") worker_ = WorksForEver();
    if (phase == "SavingState") saver_ = Hangs("it");
    if (phase == "ClosingResources") channel_ = Hangs("it");
  }
};

TEST_P(SecondSignal, ShrinksTheWaitAndKeepsTheOrder) {
  const std::string phase = GetParam().phase;
  auto future = Start(ShutdownReason::kTerminate);
  if (phase == "SavingState" || phase == "ClosingResources") observer_.Await("it hangs");
  Pass(milliseconds(100));
  clock_.AwaitWaiters(1);
  request_.Expedite();
  // The channel must leave a quarter to the database.
  Pass(phase == "ClosingResources" ? Patience::kExpedited / 4 * 3 : Patience::kExpedited);
  EXPECT_EQ(future.get().exit_code, GetParam().exit_code);

  std::vector<std::string> expected = {"Serving",           "ShutdownRequested",
                                       "LameDuckEntered",   "ListenerClosed",
                                       "GoodbyeSaid",       "ConnectionsGone",
                                       "NewCallsRefused",   "CallsFinished",
                                       "ServerStopped",     "WorkersStopped",
                                       "StateSaved totals", "Closed channel",
                                       "Closed database",   "Stopped"};
  std::replace(expected.begin(), expected.end(), std::string(GetParam().instead_of),
               std::string(GetParam().told));
  EXPECT_EQ(Told(), expected);
}

INSTANTIATE_TEST_SUITE_P(
    InEachPhase, SecondSignal,
    testing::Values(
        Hold{"LameDuck", ExitCode::kClean, "", ""},
        Hold{"DrainingConnections", ExitCode::kClean, "ConnectionsGone", "ConnectionsRemain"},
        Hold{"DrainingCalls", ExitCode::kForced, "CallsFinished", "CallsCut"},
        Hold{"CancellingCalls", ExitCode::kForced, "ServerStopped", "ServerAbandoned"},
        Hold{"StoppingWorkers", ExitCode::kForced, "WorkersStopped", "WorkerFailed relay"},
        Hold{"SavingState", ExitCode::kCloseFailed, "StateSaved totals", "SaveFailed totals"},
        Hold{"ClosingResources", ExitCode::kCloseFailed, "Closed channel", "CloseFailed channel"}),
    [](const auto& info) { return info.param.phase; });

}  // namespace
}  // namespace lifecycle
