#include "service/lifecycle/manual_drain.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>

#include "absl/status/status.h"
#include "service/lifecycle/shutdown_request.h"
#include "service/lifecycle/testing/fake_clock.h"

namespace lifecycle {
namespace {

class ManualDrainTest : public testing::Test {
 protected:
  // On a thread of its own, because it blocks.
  std::future<absl::Status> Undo() {
    return std::async(std::launch::async, [this] { return drain_.Undo(); });
  }
  // Until somebody has taken the drain back, or a shutdown was requested.
  void AwaitUndo() { drain_.AwaitUndo(clock_, Clock::TimePoint::max()); }

  FakeClock clock_;
  ShutdownRequest stop_{clock_};
  ManualDrain drain_{stop_};
};

TEST_F(ManualDrainTest, IsOneDrainHoweverOftenRequested) {
  const ManualDrain::Id first = drain_.Request();
  EXPECT_EQ(drain_.Request(), first);
  drain_.AwaitRequest();
  EXPECT_TRUE(drain_.EndLameDuck());
  EXPECT_EQ(drain_.Request(), first);
  EXPECT_FALSE(drain_.TakenBack(first));
}

TEST_F(ManualDrainTest, ReleasesItsWaiterWhenRequested) {
  std::future<void> awaits = std::async(std::launch::async, [this] { drain_.AwaitRequest(); });
  EXPECT_EQ(awaits.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
  drain_.Request();
  awaits.get();
}

TEST_F(ManualDrainTest, ReleasesItsWaiterAtAShutdown) {
  std::future<void> awaits = std::async(std::launch::async, [this] { drain_.AwaitRequest(); });
  EXPECT_EQ(awaits.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
  stop_.Request(ShutdownReason::kTerminate);
  awaits.get();
}

TEST_F(ManualDrainTest, HasNothingToUndoAtFirst) { EXPECT_TRUE(drain_.Undo().ok()); }

TEST_F(ManualDrainTest, IsUndoneOnceTheProcessServesAsBefore) {
  const ManualDrain::Id drain = drain_.Request();
  std::future<absl::Status> undo = Undo();
  AwaitUndo();
  EXPECT_FALSE(drain_.EndLameDuck());
  EXPECT_EQ(undo.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
  EXPECT_FALSE(drain_.TakenBack(drain));
  drain_.ServesAgain();
  EXPECT_TRUE(undo.get().ok());
  EXPECT_TRUE(drain_.TakenBack(drain));
  std::future<void> awaits = std::async(std::launch::async, [this] { drain_.AwaitRequest(); });
  EXPECT_EQ(awaits.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout)
      << "the one that was taken back is not requested any more";
  drain_.Request();
  awaits.get();
}

TEST_F(ManualDrainTest, IsANewDrainAfterAnUndo) {
  const ManualDrain::Id first = drain_.Request();
  std::future<absl::Status> undo = Undo();
  AwaitUndo();
  // Comes while the first is being taken back: waits.
  std::future<ManualDrain::Id> request =
      std::async(std::launch::async, [this] { return drain_.Request(); });
  EXPECT_EQ(request.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
  EXPECT_FALSE(drain_.EndLameDuck());
  drain_.ServesAgain();
  EXPECT_TRUE(undo.get().ok());
  const ManualDrain::Id second = request.get();
  EXPECT_NE(second, first);
  EXPECT_FALSE(drain_.TakenBack(second));
  EXPECT_TRUE(drain_.EndLameDuck());
}

TEST_F(ManualDrainTest, CanBeUndoneByTwoAtOnce) {
  drain_.Request();
  std::future<absl::Status> first = Undo();
  std::future<absl::Status> second = Undo();
  AwaitUndo();
  EXPECT_FALSE(drain_.EndLameDuck());
  drain_.ServesAgain();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
}

TEST_F(ManualDrainTest, CannotBeUndoneAfterTheLameDuck) {
  const ManualDrain::Id drain = drain_.Request();
  EXPECT_TRUE(drain_.EndLameDuck());
  EXPECT_TRUE(absl::IsFailedPrecondition(drain_.Undo()));
  EXPECT_FALSE(drain_.TakenBack(drain));
}

TEST_F(ManualDrainTest, GivesWayToAShutdown) {
  const ManualDrain::Id drain = drain_.Request();
  std::future<absl::Status> undo = Undo();
  AwaitUndo();
  stop_.Request(ShutdownReason::kTerminate);
  EXPECT_TRUE(drain_.EndLameDuck());
  EXPECT_TRUE(absl::IsFailedPrecondition(undo.get()));
  EXPECT_FALSE(drain_.TakenBack(drain)) << "it was not, after all";
}

TEST_F(ManualDrainTest, AwaitsNoUndoDuringAShutdown) {
  drain_.Request();
  std::future<void> awaits = std::async(std::launch::async, [this] { AwaitUndo(); });
  EXPECT_EQ(awaits.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
  stop_.Request(ShutdownReason::kTerminate);
  awaits.get();
}

TEST_F(ManualDrainTest, AwaitsAnUndoOnlyUntilTheEnd) {
  drain_.Request();
  std::future<void> awaits = std::async(std::launch::async, [this] {
    drain_.AwaitUndo(clock_, clock_.Now() + std::chrono::seconds(5));
  });
  clock_.AwaitWaiters(1);
  clock_.Advance(std::chrono::seconds(4));
  EXPECT_EQ(awaits.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
  clock_.Advance(std::chrono::seconds(1));
  awaits.get();
}

TEST_F(ManualDrainTest, StaysRequestedUntilItIsUndone) {
  const ManualDrain::Id drain = drain_.Request();
  drain_.ServesAgain();
  drain_.AwaitRequest();
  EXPECT_FALSE(drain_.TakenBack(drain));
}

TEST_F(ManualDrainTest, DoesNotBlockItsRequesterDuringAShutdown) {
  EXPECT_TRUE(drain_.EndLameDuck());
  stop_.Request(ShutdownReason::kInterrupt);
  EXPECT_FALSE(drain_.TakenBack(drain_.Request()));
  EXPECT_TRUE(absl::IsFailedPrecondition(drain_.Undo()));
}

}  // namespace
}  // namespace lifecycle
