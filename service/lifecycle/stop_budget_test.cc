#include "service/lifecycle/stop_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::HasSubstr;

Clock::Duration Sum(const StopBudget& budget) {
  return budget.lame_duck + budget.connections + budget.calls + budget.streams + budget.workers +
         budget.save + budget.close + budget.reserve;
}

Clock::Duration Smallest(const StopBudget& budget) {
  return std::min({budget.lame_duck, budget.connections, budget.calls, budget.streams,
                   budget.workers, budget.save, budget.close, budget.reserve});
}

std::string ErrorOf(Clock::Duration grace, const StopBudget::Overrides& by_hand) {
  const absl::StatusOr<StopBudget> budget = StopBudget::Split(grace, by_hand);
  EXPECT_TRUE(absl::IsInvalidArgument(budget.status())) << budget.status();
  return std::string(budget.status().message());
}

TEST(StopBudget, SplitsTheUsualGraceIntoRoundNumbers) {
  const absl::StatusOr<StopBudget> budget = StopBudget::Split(seconds(30), {});
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(budget->ToString(),
            "lame_duck 5s + connections 12s + calls 5s + streams 2s + workers 1.5s + save 1.5s + "
            "close 2s + reserve 1s = 30s");
}

TEST(StopBudget, GivesEveryPartItsLeastWhenTheGraceIsTiny) {
  const absl::StatusOr<StopBudget> budget = StopBudget::Split(milliseconds(80), {});
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(Smallest(*budget), milliseconds(10));
  EXPECT_EQ(Sum(*budget), milliseconds(80));
}

TEST(StopBudget, KeepsTimeForABusyMachineBackAlsoOfAShortGrace) {
  EXPECT_EQ(StopBudget::Split(seconds(2), {})->reserve, milliseconds(200));
  EXPECT_EQ(StopBudget::Split(milliseconds(900), {})->reserve, milliseconds(150));
  EXPECT_EQ(StopBudget::Split(seconds(60), {})->reserve, seconds(2));
}

TEST(StopBudget, RefusesAGraceInWhichNotEveryPartFits) {
  EXPECT_EQ(ErrorOf(milliseconds(79), {}),
            "the stop does not fit its termination grace of 79ms: nothing set by hand leaves 79ms "
            "for the other 8 parts, which need 80ms at least");
}

TEST(StopBudget, RefusesANegativeGrace) {
  EXPECT_EQ(ErrorOf(seconds(-1), {}), "a termination grace of -1s is negative");
  EXPECT_THAT(ErrorOf(Clock::Duration::min(), {.calls = seconds(1)}), HasSubstr("is negative"));
}

TEST(StopBudget, RefusesToGiveSavingOrClosingNoTime) {
  EXPECT_EQ(ErrorOf(seconds(10), {.save = seconds(0)}),
            "the save budget of 0 is less than 10ms: nothing would be saved");
  EXPECT_EQ(ErrorOf(seconds(10), {.close = milliseconds(9)}),
            "the close budget of 9ms is less than 10ms: nothing would be closed");
}

// Every set of parts that can be set by hand, from the least grace on upwards.
TEST(StopBudget, NeverGivesLessThanTheLeastAndAlwaysSumsUpToTheGrace) {
  using Overrides = StopBudget::Overrides;
  constexpr std::optional<Clock::Duration> Overrides::*kFields[] = {
      &Overrides::lame_duck, &Overrides::connections, &Overrides::calls, &Overrides::streams,
      &Overrides::workers,   &Overrides::save,        &Overrides::close, &Overrides::reserve};
  for (int chosen = 0; chosen < 255; ++chosen) {
    Overrides by_hand;
    Clock::Duration least{};
    for (int field = 0; field < 8; ++field) {
      const bool set = (chosen >> field) % 2 == 1;
      if (set) by_hand.*kFields[field] = milliseconds(10 + field);
      least += set ? milliseconds(10 + field) : milliseconds(10);
    }
    for (const Clock::Duration more :
         {nanoseconds(0), nanoseconds(1), nanoseconds(7'777'777), nanoseconds(123'456'789)}) {
      const absl::StatusOr<StopBudget> budget = StopBudget::Split(least + more, by_hand);
      ASSERT_TRUE(budget.ok()) << budget.status();
      EXPECT_GE(Smallest(*budget), milliseconds(10)) << budget->ToString();
      EXPECT_EQ(Sum(*budget), least + more) << budget->ToString();
    }
    EXPECT_FALSE(StopBudget::Split(least - nanoseconds(1), by_hand).ok());
  }
}

TEST(StopBudget, SharesWhatThePartsSetByHandLeave) {
  const absl::StatusOr<StopBudget> budget =
      StopBudget::Split(seconds(60), {.calls = seconds(10), .close = seconds(4)});
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(budget->ToString(),
            "lame_duck 10s + connections 24s + calls 10s + streams 4s + workers 3s + save 3s + "
            "close 4s + reserve 2s = 1m");
}

TEST(StopBudget, MayBeLessThanTheGraceWhenEveryPartIsSetByHand) {
  const StopBudget::Overrides by_hand = {.lame_duck = seconds(0),
                                         .connections = seconds(1),
                                         .calls = seconds(2),
                                         .streams = seconds(3),
                                         .workers = seconds(4),
                                         .save = seconds(5),
                                         .close = seconds(6),
                                         .reserve = seconds(7)};
  const absl::StatusOr<StopBudget> budget = StopBudget::Split(seconds(40), by_hand);
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(budget->ToString(),
            "lame_duck 0 + connections 1s + calls 2s + streams 3s + workers 4s + save 5s + "
            "close 6s + reserve 7s = 28s of 40s");
  EXPECT_TRUE(StopBudget::Split(seconds(28), by_hand).ok());
  EXPECT_FALSE(StopBudget::Split(seconds(27), by_hand).ok());
}

TEST(StopBudget, RefusesPartsThatDoNotFitAndSaysTheNumbers) {
  EXPECT_EQ(ErrorOf(seconds(10), {.lame_duck = seconds(4), .calls = seconds(6)}),
            "the stop does not fit its termination grace of 10s: lame_duck 4s + calls 6s set by "
            "hand leaves 0 for the other 6 parts, which need 60ms at least");
}

TEST(StopBudget, RefusesANegativePart) {
  EXPECT_EQ(ErrorOf(seconds(10), {.save = seconds(-1)}), "the save budget of -1s is negative");
}

TEST(StopBudget, LetsAPhaseUseWhateverIsNotGuaranteedToThoseBehindIt) {
  const absl::StatusOr<StopBudget> budget = StopBudget::Split(seconds(30), {});
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(budget->EndOf(Phase::kLameDuck), seconds(5));
  EXPECT_EQ(budget->EndOf(Phase::kLeaving), seconds(17));
  EXPECT_EQ(budget->EndOf(Phase::kDraining), seconds(22));
  EXPECT_EQ(budget->EndOf(Phase::kCancelling), seconds(24));
  EXPECT_EQ(budget->EndOf(Phase::kWorking), milliseconds(25'500));
  EXPECT_EQ(budget->EndOf(Phase::kSaving), seconds(27));
  EXPECT_EQ(budget->EndOf(Phase::kClosing), seconds(29));
  EXPECT_EQ(budget->EndOf(Phase::kStopped), seconds(30));
}

TEST(StopBudget, GivesWhatTheSharesLeaveToWhateverNeedsIt) {
  const absl::StatusOr<StopBudget> budget =
      StopBudget::Split(seconds(40), {.lame_duck = seconds(0),
                                      .connections = seconds(0),
                                      .calls = seconds(0),
                                      .streams = seconds(0),
                                      .workers = seconds(0),
                                      .save = seconds(1),
                                      .close = seconds(2),
                                      .reserve = seconds(1)});
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(budget->EndOf(Phase::kDraining), seconds(36));
  EXPECT_EQ(budget->EndOf(Phase::kClosing), seconds(39));
}

TEST(StopBudget, RefusesWhatIsTooLongToCountWith) {
  constexpr Clock::Duration kForever = Clock::Duration::max();
  EXPECT_THAT(ErrorOf(kForever, {}), HasSubstr("is longer than 24h"));
  EXPECT_THAT(ErrorOf(hours(1), {.calls = kForever, .close = kForever}),
              HasSubstr("is longer than a day"));
}

}  // namespace
}  // namespace lifecycle
