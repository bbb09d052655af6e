#include "service/lifecycle/drain_request.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <stop_token>
#include <thread>

#include "absl/status/status.h"
#include "service/lifecycle/fake_clock.h"
#include "service/lifecycle/stop_request.h"

namespace lifecycle {
namespace {

class DrainRequestTest : public testing::Test {
 protected:
  // On a thread of its own, because it blocks.
  std::future<absl::Status> Undo() {
    return std::async(std::launch::async, [this] { return drain_.Undo(); });
  }
  static void Await(const std::stop_token& token) {
    while (!token.stop_requested()) std::this_thread::yield();
  }

  FakeClock clock_;
  StopRequest stop_{clock_};
  DrainRequest drain_{stop_};
};

TEST_F(DrainRequestTest, IsNotRequestedAtFirst) {
  EXPECT_FALSE(drain_.requested().stop_requested());
  EXPECT_FALSE(drain_.interrupted().stop_requested());
}

TEST_F(DrainRequestTest, IsRequestedOnceHoweverOften) {
  const std::stop_token first = drain_.Request();
  const std::stop_token second = drain_.Request();
  EXPECT_EQ(first, second);
  EXPECT_TRUE(drain_.requested().stop_requested());
  EXPECT_FALSE(drain_.interrupted().stop_requested());
  EXPECT_TRUE(drain_.EndLameDuck());
  EXPECT_EQ(drain_.Request(), first);
  EXPECT_FALSE(first.stop_requested());
}

TEST_F(DrainRequestTest, HasNothingToTakeBackAtFirst) { EXPECT_TRUE(drain_.Undo().ok()); }

TEST_F(DrainRequestTest, IsTakenBackWhenTheProcessServesAsBefore) {
  const std::stop_token taken_back = drain_.Request();
  const std::stop_token interrupted = drain_.interrupted();
  std::future<absl::Status> undo = Undo();
  Await(interrupted);
  EXPECT_FALSE(drain_.EndLameDuck());
  EXPECT_EQ(undo.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
  EXPECT_FALSE(taken_back.stop_requested());
  drain_.ServesAgain();
  EXPECT_TRUE(undo.get().ok());
  Await(taken_back);
  EXPECT_FALSE(drain_.requested().stop_requested());
  EXPECT_FALSE(drain_.interrupted().stop_requested());
}

TEST_F(DrainRequestTest, IsAnotherOneAfterItWasTakenBack) {
  const std::stop_token first = drain_.Request();
  const std::stop_token interrupted = drain_.interrupted();
  std::future<absl::Status> undo = Undo();
  Await(interrupted);
  // Comes while the first is being taken back: waits.
  std::future<std::stop_token> request =
      std::async(std::launch::async, [this] { return drain_.Request(); });
  EXPECT_EQ(request.wait_for(std::chrono::milliseconds(1)), std::future_status::timeout);
  EXPECT_FALSE(drain_.EndLameDuck());
  drain_.ServesAgain();
  EXPECT_TRUE(undo.get().ok());
  Await(first);
  EXPECT_FALSE(request.get().stop_requested());
  EXPECT_TRUE(drain_.requested().stop_requested());
  EXPECT_TRUE(drain_.EndLameDuck());
}

TEST_F(DrainRequestTest, CanBeTakenBackByTwoAtATime) {
  drain_.Request();
  const std::stop_token interrupted = drain_.interrupted();
  std::future<absl::Status> first = Undo();
  std::future<absl::Status> second = Undo();
  Await(interrupted);
  EXPECT_FALSE(drain_.EndLameDuck());
  drain_.ServesAgain();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
}

TEST_F(DrainRequestTest, CannotBeTakenBackOnceTheLameDuckIsOver) {
  const std::stop_token taken_back = drain_.Request();
  EXPECT_TRUE(drain_.EndLameDuck());
  EXPECT_TRUE(absl::IsFailedPrecondition(drain_.Undo()));
  EXPECT_FALSE(taken_back.stop_requested());
}

TEST_F(DrainRequestTest, IsInterruptedByAStopWhichHasPrecedence) {
  const std::stop_token taken_back = drain_.Request();
  std::future<absl::Status> undo = Undo();
  Await(drain_.interrupted());
  stop_.Request(StopReason::kTerminate);
  EXPECT_TRUE(drain_.EndLameDuck());
  EXPECT_TRUE(absl::IsFailedPrecondition(undo.get()));
  EXPECT_FALSE(taken_back.stop_requested()) << "it was not, after all";
}

TEST_F(DrainRequestTest, StaysRequestedWhenTheProcessServesAndNobodyTakesItBack) {
  const std::stop_token taken_back = drain_.Request();
  drain_.ServesAgain();
  EXPECT_TRUE(drain_.requested().stop_requested());
  EXPECT_FALSE(taken_back.stop_requested());
}

TEST_F(DrainRequestTest, LetsWhoeverAsksDuringAStopGoOn) {
  EXPECT_TRUE(drain_.EndLameDuck());
  stop_.Request(StopReason::kInterrupt);
  EXPECT_FALSE(drain_.Request().stop_requested());
  EXPECT_TRUE(absl::IsFailedPrecondition(drain_.Undo()));
}

TEST_F(DrainRequestTest, IsInterruptedByAStopAlsoBeforeItIsRequested) {
  stop_.Request(StopReason::kTerminate);
  EXPECT_TRUE(drain_.interrupted().stop_requested());
  EXPECT_TRUE(DrainRequest(stop_).interrupted().stop_requested());
  EXPECT_TRUE(absl::IsFailedPrecondition(drain_.Undo()));
}

}  // namespace
}  // namespace lifecycle
