#include "service/lifecycle/signal_thread.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "service/lifecycle/fake_clock.h"

namespace lifecycle {
namespace {

using std::chrono::milliseconds;

class SignalMeaningTest : public testing::Test {
 protected:
  bool Requested() const { return request_.requested().stop_requested(); }
  bool Hurried() const { return request_.hurry().stop_requested(); }

  FakeClock clock_;
  StopRequest request_{clock_};
  int left_ = 0;
  SignalMeaning meaning_{clock_, request_, [this] { ++left_; }};
};

TEST_F(SignalMeaningTest, TheFirstSigtermAsksForAStop) {
  meaning_.OnSignal(SIGTERM);
  ASSERT_TRUE(Requested());
  EXPECT_EQ(request_.Wait(), StopReason::kTerminate);
  EXPECT_FALSE(Hurried());
  EXPECT_EQ(left_, 0);
}

TEST_F(SignalMeaningTest, TheFirstSigintIsAPersonsInterrupt) {
  meaning_.OnSignal(SIGINT);
  ASSERT_TRUE(Requested());
  EXPECT_EQ(request_.Wait(), StopReason::kInterrupt);
  EXPECT_FALSE(Hurried());
}

TEST_F(SignalMeaningTest, TheSecondSignalHurries) {
  meaning_.OnSignal(SIGTERM);
  clock_.Advance(SignalMeaning::kRepeat);
  meaning_.OnSignal(SIGTERM);
  EXPECT_TRUE(Hurried());
  EXPECT_EQ(request_.Wait(), StopReason::kTerminate);
  EXPECT_EQ(left_, 0);
}

TEST_F(SignalMeaningTest, TheThirdSignalLeavesAtOnce) {
  meaning_.OnSignal(SIGINT);
  meaning_.OnSignal(SIGINT);
  EXPECT_EQ(left_, 0);
  meaning_.OnSignal(SIGINT);
  EXPECT_EQ(left_, 1);
}

TEST_F(SignalMeaningTest, ARepeatedSigtermCountsForNothing) {
  meaning_.OnSignal(SIGTERM);
  meaning_.OnSignal(SIGTERM);
  clock_.Advance(SignalMeaning::kRepeat - milliseconds(1));
  meaning_.OnSignal(SIGTERM);
  EXPECT_FALSE(Hurried());
}

TEST_F(SignalMeaningTest, ASigtermEveryMomentIsHeardAllTheSame) {
  meaning_.OnSignal(SIGTERM);
  clock_.Advance(SignalMeaning::kRepeat / 2);
  meaning_.OnSignal(SIGTERM);
  EXPECT_FALSE(Hurried());
  clock_.Advance(SignalMeaning::kRepeat / 2);
  meaning_.OnSignal(SIGTERM);
  EXPECT_TRUE(Hurried());
}

TEST_F(SignalMeaningTest, ASigintIsNeverTakenForARepetition) {
  meaning_.OnSignal(SIGINT);
  meaning_.OnSignal(SIGINT);
  EXPECT_TRUE(Hurried());
}

TEST_F(SignalMeaningTest, ASigtermAfterASigintHurries) {
  meaning_.OnSignal(SIGINT);
  meaning_.OnSignal(SIGTERM);
  EXPECT_TRUE(Hurried());
  EXPECT_EQ(request_.Wait(), StopReason::kInterrupt);
}

TEST_F(SignalMeaningTest, TheFirstSignalAfterAStopThatTheProgramAskedForDoesNotHurry) {
  request_.Request(StopReason::kInterrupt);
  meaning_.OnSignal(SIGTERM);
  EXPECT_FALSE(Hurried());
  EXPECT_EQ(request_.Wait(), StopReason::kInterrupt);
}

// What it does with a real signal: process_test.cc.
TEST(SignalThread, EndsWithItsObject) {
  BlockStopSignals();
  FakeClock clock;
  StopRequest request(clock);
  SignalMeaning meaning(clock, request, [] {});
  { SignalThread thread(meaning); }
  EXPECT_FALSE(request.requested().stop_requested());
}

TEST(BlockStopSignals, IsUndoneByUnblockStopSignals) {
  const auto blocked = [](int signal) {
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, nullptr, &set);
    return sigismember(&set, signal) == 1;
  };
  BlockStopSignals();
  EXPECT_TRUE(blocked(SIGTERM));
  EXPECT_TRUE(blocked(SIGINT));
  UnblockStopSignals();
  EXPECT_FALSE(blocked(SIGTERM));
  EXPECT_FALSE(blocked(SIGINT));
}

}  // namespace
}  // namespace lifecycle
