// A manual drain, as the sequence carries it out, and what a shutdown makes of it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <optional>
#include <ostream>
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

class ShutdownSequenceDrainTest : public SequenceUnderTest {
 protected:
  // Serves, and a drain is requested at once.
  std::future<ShutdownOutcome> Drain() {
    on_event_["Serving"] = [this] {
      drain_.Request();
      on_event_.erase("Serving");
    };
    return Start();
  }
};

TEST_F(ShutdownSequenceDrainTest, StaysDrainedUntilAShutdownContinues) {
  auto outcome = Drain();
  observer_.Await("Drained");
  EXPECT_THAT(observer_.Lines(),
              ElementsAre("Listen()", "OpenListener()", "Serving", "ManualDrainRequested",
                          "EnterLameDuck()", "LameDuckEntered", "CloseListener()", "ListenerClosed",
                          "WarnIfCallersWait()", "SayGoodbye()", "GoodbyeSaid",
                          "AwaitConnectionsGone()", "Drained"));
  request_.Request(ShutdownReason::kTerminate);
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "Drained", "ShutdownRequested", "ConnectionsGone",
                          "NewCallsRefused", "CallsFinished", "ServerStopped", "WorkersStopped",
                          "StateSaved totals", "Closed channel", "Closed database", "Stopped"));
}

// There is time: those leave when they call, and lose nothing.
TEST_F(ShutdownSequenceDrainTest, ClosesSilentConnectionsOnlyInTheShutdown) {
  traffic_.connections = Traffic::Departure::kSilent;
  auto outcome = Drain();
  observer_.Await("Drained");
  EXPECT_THAT(observer_.Lines(), testing::Not(testing::Contains("CloseSilent()")));
  request_.Request(ShutdownReason::kTerminate);
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
  EXPECT_THAT(observer_.Lines(), testing::Contains("CloseSilent()"));
}

TEST_F(ShutdownSequenceDrainTest, IsALameDuckForItsFullTime) {
  budget_.lame_duck = seconds(5);
  auto outcome = Drain();
  observer_.Await("LameDuckEntered");
  Pass(seconds(5) - milliseconds(1));
  clock_.AwaitWaiters(1);
  EXPECT_EQ(observer_.Lines().back(), "LameDuckEntered");
  Pass(milliseconds(1));
  observer_.Await("Drained");
  request_.Request(ShutdownReason::kTerminate);
  outcome.get();
}

TEST_F(ShutdownSequenceDrainTest, ReportsNoLimitAfterTheRemainingLameDuck) {
  budget_.lame_duck = seconds(5);
  traffic_.connections = Traffic::Departure::kBusy;
  auto outcome = Drain();
  observer_.Await("LameDuckEntered");
  clock_.AwaitWaiters(1);
  EXPECT_EQ(sequence_.load()->phase(), Phase::kLameDuck);
  EXPECT_EQ(sequence_.load()->phase_ends(), clock_.Now() + budget_.lame_duck);
  clock_.Advance(budget_.lame_duck);
  observer_.Await("AwaitConnectionsGone()");
  clock_.AwaitWaiters(1);
  EXPECT_EQ(sequence_.load()->phase(), Phase::kDrainingConnections);
  EXPECT_EQ(sequence_.load()->phase_ends(), std::nullopt);
  traffic_.connections = Traffic::Departure::kGone;
  request_.Request(ShutdownReason::kInterrupt);
  outcome.get();
}

TEST_F(ShutdownSequenceDrainTest, ReportsEachPhaseAndUnlimitedDraining) {
  budget_.lame_duck = seconds(5);
  auto outcome = Drain();
  clock_.AwaitWaiters(1);
  EXPECT_TRUE(drain_.Undo().ok());
  drain_.Request();
  Pass(budget_.lame_duck);
  observer_.Await("Drained");
  clock_.Advance(hours(1));
  request_.Request(ShutdownReason::kTerminate);
  outcome.get();
  std::vector<std::string> phases;
  for (const auto& phase : observer_.Phases()) {
    phases.push_back(PhaseName(phase.phase) + std::string(phase.budget ? "" : " without limit"));
  }
  EXPECT_THAT(phases,
              ElementsAre("Serving without limit", "LameDuck", "Serving without limit", "LameDuck",
                          "DrainingConnections without limit", "DrainingCalls", "CancellingCalls",
                          "StoppingWorkers", "SavingState", "ClosingResources", "Stopped"));
}

TEST_F(ShutdownSequenceDrainTest, IsDrainedOnlyOnceTheLastCallerLeft) {
  traffic_.connections = Traffic::Departure::kBusy;
  auto outcome = Drain();
  observer_.Await("AwaitConnectionsGone()");
  Pass(hours(24));  // An operator has time.
  clock_.AwaitWaiters(1);
  EXPECT_FALSE(sequence_.load()->drained());
  request_.Request(ShutdownReason::kTerminate);
  const Clock::TimePoint requested = clock_.Now();
  // The callers that are left have the budget of the shutdown.
  observer_.Await("ShutdownRequested");
  Pass(budget_.drain_connections - milliseconds(1));
  clock_.AwaitWaiters(1);
  EXPECT_EQ(observer_.Lines().back(), "AwaitConnectionsGone()");
  EXPECT_THAT(observer_.Limits(),
              ElementsAre(testing::FieldsAre(requested, budget_.drain_connections)));
  Pass(milliseconds(1));
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ShutdownRequested", "ConnectionsRemain",
                          "NewCallsRefused", "CallsFinished", "ServerStopped", "WorkersStopped",
                          "StateSaved totals", "Closed channel", "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceDrainTest, UndoneDuringTheLameDuckServesAsBefore) {
  budget_.lame_duck = seconds(5);
  auto outcome = Drain();
  observer_.Await("LameDuckEntered");
  EXPECT_TRUE(drain_.Undo().ok());
  EXPECT_EQ(sequence_.load()->phase(), Phase::kServing);
  drain_.Request();
  Pass(seconds(5) - milliseconds(1));
  clock_.AwaitWaiters(1);
  EXPECT_EQ(sequence_.load()->phase(), Phase::kLameDuck);
  EXPECT_TRUE(drain_.Undo().ok());
  EXPECT_EQ(sequence_.load()->phase(), Phase::kServing);
  request_.Request(ShutdownReason::kInterrupt);
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
  EXPECT_THAT(
      observer_.Lines(),
      ElementsAre("Listen()", "OpenListener()", "Serving", "ManualDrainRequested",
                  "EnterLameDuck()", "LameDuckEntered", "LeaveLameDuck()", "Serving",
                  "ManualDrainRequested", "EnterLameDuck()", "LameDuckEntered", "LeaveLameDuck()",
                  "Serving", "ShutdownRequested", "CloseListener()", "ListenerClosed",
                  "SayGoodbye()", "GoodbyeSaid", "AwaitConnectionsGone()", "ConnectionsGone",
                  "BeginShutdown()", "NewCallsRefused", "AwaitCallsFinished()", "CallsFinished",
                  "Cancel()", "ServerStopped", "WorkersStopped", "StateSaved totals",
                  "Closed channel", "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceDrainTest, CannotBeUndoneOnceTheListenerIsClosed) {
  on_event_["ListenerClosed"] = [this] { EXPECT_TRUE(absl::IsFailedPrecondition(drain_.Undo())); };
  auto outcome = Drain();
  observer_.Await("Drained");
  EXPECT_TRUE(absl::IsFailedPrecondition(drain_.Undo()));
  request_.Request(ShutdownReason::kTerminate);
  outcome.get();
}

TEST_F(ShutdownSequenceDrainTest, JoinsTheRunningDrainWhenRequestedAgain) {
  for (const char* when : {"LameDuckEntered", "ListenerClosed", "Drained"}) {
    on_event_[when] = [this] { drain_.Request(); };
  }
  auto outcome = Drain();
  observer_.Await("Drained");
  drain_.Request();
  request_.Request(ShutdownReason::kTerminate);
  outcome.get();
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "Drained", "ShutdownRequested", "ConnectionsGone",
                          "NewCallsRefused", "CallsFinished", "ServerStopped", "WorkersStopped",
                          "StateSaved totals", "Closed channel", "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceDrainTest, ChangesNothingWhenRequestedDuringAShutdown) {
  for (const char* when :
       {"ShutdownRequested", "LameDuckEntered", "GoodbyeSaid", "CallsFinished"}) {
    on_event_[when] = [this] {
      drain_.Request();
      EXPECT_TRUE(absl::IsFailedPrecondition(drain_.Undo()));
    };
  }
  EXPECT_EQ(Run(ShutdownReason::kTerminate).exit_code, ExitCode::kClean);
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "StateSaved totals", "Closed channel",
                          "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceDrainTest, AShutdownRequestKeepsItsLameDuck) {
  budget_.lame_duck = seconds(5);
  budget_.grace = seconds(35);
  auto outcome = Drain();
  observer_.Await("LameDuckEntered");
  Pass(seconds(2));
  clock_.AwaitWaiters(1);
  request_.Request(ShutdownReason::kTerminate);
  observer_.Await("ShutdownRequested");
  Pass(seconds(3) - milliseconds(1));
  clock_.AwaitWaiters(1);
  EXPECT_EQ(observer_.Lines().back(), "ShutdownRequested");
  EXPECT_THAT(observer_.Limits(), ElementsAre(testing::FieldsAre(start_ + seconds(2), seconds(3))));
  Pass(milliseconds(1));
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
}

TEST_F(ShutdownSequenceDrainTest, AnInterruptEndsTheLameDuck) {
  budget_.lame_duck = seconds(5);
  auto outcome = Drain();
  clock_.AwaitWaiters(1);
  request_.Request(ShutdownReason::kInterrupt);
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
  EXPECT_EQ(clock_.Now(), start_);
  EXPECT_THAT(observer_.Limits(), testing::IsEmpty());
  EXPECT_THAT(Told(),
              ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered", "ShutdownRequested",
                          "ListenerClosed", "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused",
                          "CallsFinished", "ServerStopped", "WorkersStopped", "StateSaved totals",
                          "Closed channel", "Closed database", "Stopped"));
}

TEST_F(ShutdownSequenceDrainTest, CannotBeUndoneOnceAShutdownIsRequested) {
  budget_.lame_duck = seconds(5);
  auto outcome = Drain();
  observer_.Await("LameDuckEntered");
  clock_.AwaitWaiters(1);
  std::future<absl::Status> undone = std::async(std::launch::async, [this] {
    request_.Request(ShutdownReason::kTerminate);
    return drain_.Undo();
  });
  EXPECT_TRUE(absl::IsFailedPrecondition(undone.get()));
  observer_.Await("ShutdownRequested");
  Pass(seconds(5));
  EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
}

// A shutdown that is requested in the very moment of one event of a manual drain.
struct StopAt {
  const char* event;
  std::vector<std::string> told;  // Up to NewCallsRefused.
};
std::ostream& operator<<(std::ostream& out, const StopAt& at) { return out << at.event; }

class ShutdownDuringManualDrain : public ShutdownSequenceDrainTest,
                                  public testing::WithParamInterface<StopAt> {};

TEST_P(ShutdownDuringManualDrain, ContinuesFromWhereTheDrainIs) {
  on_event_[GetParam().event] = [this] { request_.Request(ShutdownReason::kTerminate); };
  EXPECT_EQ(Drain().get().exit_code, ExitCode::kClean);
  std::vector<std::string> expected = GetParam().told;
  for (const char* event : {"NewCallsRefused", "CallsFinished", "ServerStopped", "WorkersStopped",
                            "StateSaved totals", "Closed channel", "Closed database", "Stopped"}) {
    expected.push_back(event);
  }
  EXPECT_EQ(Told(), expected);
}

INSTANTIATE_TEST_SUITE_P(
    AtEachEvent, ShutdownDuringManualDrain,
    testing::Values(
        StopAt{"ManualDrainRequested",
               {"Serving", "ManualDrainRequested", "LameDuckEntered", "ShutdownRequested",
                "ListenerClosed", "GoodbyeSaid", "ConnectionsGone"}},
        StopAt{"LameDuckEntered",
               {"Serving", "ManualDrainRequested", "LameDuckEntered", "ShutdownRequested",
                "ListenerClosed", "GoodbyeSaid", "ConnectionsGone"}},
        StopAt{"ListenerClosed",
               {"Serving", "ManualDrainRequested", "LameDuckEntered", "ListenerClosed",
                "GoodbyeSaid", "Drained", "ShutdownRequested", "ConnectionsGone"}},
        StopAt{"GoodbyeSaid",
               {"Serving", "ManualDrainRequested", "LameDuckEntered", "ListenerClosed",
                "GoodbyeSaid", "Drained", "ShutdownRequested", "ConnectionsGone"}},
        StopAt{"Drained",
               {"Serving", "ManualDrainRequested", "LameDuckEntered", "ListenerClosed",
                "GoodbyeSaid", "Drained", "ShutdownRequested", "ConnectionsGone"}}),
    [](const auto& info) { return info.param.event; });

}  // namespace
}  // namespace lifecycle
