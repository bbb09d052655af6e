#include "service/lifecycle/shutdown_budget.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

namespace lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using std::chrono::seconds;
using testing::HasSubstr;

Clock::Duration Sum(const ShutdownBudget& budget) {
  return budget.lame_duck + budget.drain_connections + budget.drain_calls + budget.cancel_calls +
         budget.stop_workers + budget.save_state + budget.close_resources + budget.reserve;
}

Clock::Duration Smallest(const ShutdownBudget& budget) {
  return std::min({budget.lame_duck, budget.drain_connections, budget.drain_calls,
                   budget.cancel_calls, budget.stop_workers, budget.save_state,
                   budget.close_resources, budget.reserve});
}

std::string ErrorOf(Clock::Duration grace, const ShutdownBudget::Overrides& by_hand) {
  const absl::StatusOr<ShutdownBudget> budget = ShutdownBudget::Split(grace, by_hand);
  EXPECT_TRUE(absl::IsInvalidArgument(budget.status())) << budget.status();
  return std::string(budget.status().message());
}

TEST(ShutdownBudget, SplitsTheUsualGraceIntoRoundNumbers) {
  const absl::StatusOr<ShutdownBudget> budget = ShutdownBudget::Split(seconds(30), {});
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(budget->ToString(),
            "lame_duck 5s + drain_connections 12s + drain_calls 5s + cancel_calls 2s + "
            "stop_workers 1.5s + save_state 1.5s + "
            "close_resources 2s + reserve 1s = 30s");
}

TEST(ShutdownBudget, ATinyGraceGivesEveryShareItsMinimum) {
  const absl::StatusOr<ShutdownBudget> budget = ShutdownBudget::Split(milliseconds(80), {});
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(Smallest(*budget), milliseconds(10));
  EXPECT_EQ(Sum(*budget), milliseconds(80));
}

TEST(ShutdownBudget, AShortGraceStillReservesBusyMachineTime) {
  EXPECT_EQ(ShutdownBudget::Split(seconds(2), {})->reserve, milliseconds(200));
  EXPECT_EQ(ShutdownBudget::Split(milliseconds(900), {})->reserve, milliseconds(150));
  EXPECT_EQ(ShutdownBudget::Split(seconds(60), {})->reserve, seconds(2));
}

TEST(ShutdownBudget, RejectsAGraceTooShortForEveryShare) {
  EXPECT_EQ(
      ErrorOf(milliseconds(79), {}),
      "the shutdown does not fit its termination grace of 79ms: its 8 shares need at least 80ms");
}

TEST(ShutdownBudget, RejectsANegativeGrace) {
  EXPECT_EQ(ErrorOf(seconds(-1), {}), "a termination grace of -1s is negative");
  EXPECT_THAT(ErrorOf(Clock::Duration::min(), {.drain_calls = seconds(1)}),
              HasSubstr("is negative"));
}

TEST(ShutdownBudget, RejectsNoTimeForSavingClosingOrReporting) {
  EXPECT_EQ(ErrorOf(seconds(10), {.save_state = seconds(0)}),
            "the save_state budget of 0 is less than 10ms: nothing would be saved");
  EXPECT_EQ(ErrorOf(seconds(10), {.close_resources = milliseconds(9)}),
            "the close_resources budget of 9ms is less than 10ms: nothing would be closed");
  EXPECT_EQ(ErrorOf(seconds(10), {.reserve = seconds(0)}),
            "the reserve budget of 0 is less than 10ms: nothing would be reported");
}

// Every set of parts that can be set by hand, from the least grace on upwards.
TEST(ShutdownBudget, SharesReachTheirMinimumAndFillTheGrace) {
  using Overrides = ShutdownBudget::Overrides;
  constexpr std::optional<Clock::Duration> Overrides::*kFields[] = {
      &Overrides::lame_duck,       &Overrides::drain_connections,
      &Overrides::drain_calls,     &Overrides::cancel_calls,
      &Overrides::stop_workers,    &Overrides::save_state,
      &Overrides::close_resources, &Overrides::reserve};
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
      const absl::StatusOr<ShutdownBudget> budget = ShutdownBudget::Split(least + more, by_hand);
      ASSERT_TRUE(budget.ok()) << budget.status();
      EXPECT_GE(Smallest(*budget), milliseconds(10)) << budget->ToString();
      EXPECT_EQ(Sum(*budget), least + more) << budget->ToString();
    }
    EXPECT_FALSE(ShutdownBudget::Split(least - nanoseconds(1), by_hand).ok());
  }
}

TEST(ShutdownBudget, DividesWhatSharesSetByHandLeave) {
  const absl::StatusOr<ShutdownBudget> budget = ShutdownBudget::Split(
      seconds(60), {.drain_calls = seconds(10), .close_resources = seconds(4)});
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(budget->ToString(),
            "lame_duck 10s + drain_connections 24s + drain_calls 10s + cancel_calls 4s + "
            "stop_workers 3s + save_state 3s + "
            "close_resources 4s + reserve 2s = 1m");
}

TEST(ShutdownBudget, MayBeLessThanTheGraceByHand) {
  const ShutdownBudget::Overrides by_hand = {.lame_duck = seconds(0),
                                             .drain_connections = seconds(1),
                                             .drain_calls = seconds(2),
                                             .cancel_calls = seconds(3),
                                             .stop_workers = seconds(4),
                                             .save_state = seconds(5),
                                             .close_resources = seconds(6),
                                             .reserve = seconds(7)};
  const absl::StatusOr<ShutdownBudget> budget = ShutdownBudget::Split(seconds(40), by_hand);
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(budget->ToString(),
            "lame_duck 0 + drain_connections 1s + drain_calls 2s + cancel_calls 3s + "
            "stop_workers "
            "4s + save_state 5s + "
            "close_resources 6s + reserve 7s = 28s of 40s");
  EXPECT_TRUE(ShutdownBudget::Split(seconds(28), by_hand).ok());
  EXPECT_FALSE(ShutdownBudget::Split(seconds(27), by_hand).ok());
}

TEST(ShutdownBudget, RejectsTooLargeSharesWithTheNumbers) {
  EXPECT_EQ(ErrorOf(seconds(10), {.lame_duck = seconds(4), .drain_calls = seconds(6)}),
            "the shutdown does not fit its termination grace of 10s: lame_duck 4s + drain_calls 6s "
            "leaves 0; the other 6 shares need at least 60ms");
}

TEST(ShutdownBudget, RejectsANegativeShare) {
  EXPECT_EQ(ErrorOf(seconds(10), {.save_state = seconds(-1)}),
            "the save_state budget of -1s is negative");
}

TEST(ShutdownBudget, LetsAPhaseUseAllUnguaranteedTime) {
  const absl::StatusOr<ShutdownBudget> budget = ShutdownBudget::Split(seconds(30), {});
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(budget->EndOf(Phase::kLameDuck), seconds(5));
  EXPECT_EQ(budget->EndOf(Phase::kDrainingConnections), seconds(17));
  EXPECT_EQ(budget->EndOf(Phase::kDrainingCalls), seconds(22));
  EXPECT_EQ(budget->EndOf(Phase::kCancellingCalls), seconds(24));
  EXPECT_EQ(budget->EndOf(Phase::kStoppingWorkers), milliseconds(25'500));
  EXPECT_EQ(budget->EndOf(Phase::kSavingState), seconds(27));
  EXPECT_EQ(budget->EndOf(Phase::kClosingResources), seconds(29));
  EXPECT_EQ(budget->EndOf(Phase::kStopped), seconds(30));
}

TEST(ShutdownBudget, GivesUnassignedTimeToWhateverNeedsIt) {
  const absl::StatusOr<ShutdownBudget> budget =
      ShutdownBudget::Split(seconds(40), {.lame_duck = seconds(0),
                                          .drain_connections = seconds(0),
                                          .drain_calls = seconds(0),
                                          .cancel_calls = seconds(0),
                                          .stop_workers = seconds(0),
                                          .save_state = seconds(1),
                                          .close_resources = seconds(2),
                                          .reserve = seconds(1)});
  ASSERT_TRUE(budget.ok()) << budget.status();
  EXPECT_EQ(budget->EndOf(Phase::kDrainingCalls), seconds(36));
  EXPECT_EQ(budget->EndOf(Phase::kClosingResources), seconds(39));
}

// From the least reserve and grace to those of a day.
TEST(ShutdownBudget, ItsWatchdogFiresAfterEveryPhaseAndBeforeTheExit) {
  const auto check = [](const absl::StatusOr<ShutdownBudget>& budget) {
    ASSERT_TRUE(budget.ok()) << budget.status();
    EXPECT_GT(budget->UntilExpired(), budget->EndOf(Phase::kClosingResources))
        << budget->ToString();
    EXPECT_GT(budget->UntilExit(), budget->UntilExpired()) << budget->ToString();
    EXPECT_GT(budget->grace, budget->UntilExit()) << budget->ToString();
  };
  for (int ms = 80; ms < 86'400'000; ms += std::max(1, ms / 20)) {
    check(ShutdownBudget::Split(milliseconds(ms), {}));
  }
  for (int ms = 10; ms < 3'600'000; ms += std::max(1, ms / 20)) {
    check(ShutdownBudget::Split(hours(2), {.reserve = milliseconds(ms)}));
  }
}

TEST(ShutdownBudget, RejectsDurationsThatWouldOverflow) {
  constexpr Clock::Duration kForever = Clock::Duration::max();
  EXPECT_THAT(ErrorOf(kForever, {}), HasSubstr("is longer than 24h"));
  EXPECT_THAT(ErrorOf(hours(1), {.drain_calls = kForever, .close_resources = kForever}),
              HasSubstr("is longer than a day"));
}

}  // namespace
}  // namespace lifecycle
