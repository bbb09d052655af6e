#include "client/retry.h"

#include <set>
#include <string>
#include <vector>

#include "client/error_details.h"
#include "client/testing/fake_clock.h"
#include "client/testing/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::Ge;
using testing::Le;
using testing::SizeIs;

const absl::Status kBroken = absl::UnavailableError("broken");

auto Between(Clock::Duration least, Clock::Duration most) { return AllOf(Ge(least), Le(most)); }

TEST(RetryTest, BacksOffExponentiallyWithJitter) {
  FakeClock clock;
  const RetryOptions options{
      .initial_backoff = seconds(1), .max_backoff = seconds(5), .multiplier = 2};
  Retry retry(options, clock, {});
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(retry.AwaitNext(kBroken));
  EXPECT_THAT(clock.sleeps(),
              ElementsAre(Between(milliseconds(500), seconds(1)), Between(seconds(1), seconds(2)),
                          Between(seconds(2), seconds(4)), Between(milliseconds(2500), seconds(5)),
                          Between(milliseconds(2500), seconds(5))));
}

TEST(RetryTest, CallersThatFailTogetherDoNotRetryTogether) {
  FakeClock clock;
  const RetryOptions options{.initial_backoff = seconds(1000)};
  for (int i = 0; i < 20; ++i) Retry(options, clock, {}).AwaitNext(kBroken);
  const auto sleeps = clock.sleeps();
  EXPECT_GT(std::set(sleeps.begin(), sleeps.end()).size(), 10u);
}

TEST(RetryTest, WaitsNoShorterThanTheServerAsks) {
  FakeClock clock;
  const RetryOptions options{.initial_backoff = milliseconds(100)};
  Retry retry(options, clock, {});
  EXPECT_TRUE(retry.AwaitNext(FromGrpc(Goodbye("resume_token", "t", 7))));
  EXPECT_THAT(clock.sleeps(), ElementsAre(Between(seconds(7), milliseconds(7100))));
}

TEST(RetryTest, StartsOverWhenTheServerHasAnswered) {
  FakeClock clock;
  const RetryOptions options{.initial_backoff = seconds(1), .max_backoff = seconds(60)};
  Retry retry(options, clock, {});
  for (int i = 0; i < 5; ++i) retry.AwaitNext(kBroken);
  retry.Succeeded();
  retry.AwaitNext(kBroken);
  EXPECT_LE(clock.sleeps().back(), seconds(1));
}

TEST(RetryTest, GivesUpOnAServerAwayTooLong) {
  FakeClock clock;
  const RetryOptions options{
      .initial_backoff = seconds(2), .max_backoff = seconds(2), .give_up_after = seconds(10)};
  Retry retry(options, clock, {});
  const Clock::TimePoint start = clock.Now();
  while (retry.AwaitNext(kBroken)) {
  }
  EXPECT_THAT(clock.Now() - start, Between(seconds(8), seconds(10)));
}

TEST(RetryTest, TakesTheLongestLimitForNone) {
  FakeClock clock;
  clock.Advance(std::chrono::hours(1));
  const RetryOptions options{.give_up_after = milliseconds::max()};
  Retry retry(options, clock, {});
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(retry.AwaitNext(kBroken));
}

TEST(RetryTest, CountsTheLimitFromTheFirstFailure) {
  FakeClock clock;
  const RetryOptions options{.give_up_after = seconds(10)};
  Retry retry(options, clock, {});
  retry.Succeeded();
  clock.Advance(std::chrono::hours(1));
  EXPECT_TRUE(retry.AwaitNext(kBroken));
}

TEST(RetryTest, DoesNotTryAgainWhatIsFinal) {
  FakeClock clock;
  const RetryOptions options;
  Retry retry(options, clock, {});
  EXPECT_FALSE(retry.AwaitNext(absl::InvalidArgumentError("")));
  EXPECT_FALSE(retry.AwaitNext(absl::ResourceExhaustedError("too large")));
  EXPECT_THAT(clock.sleeps(), SizeIs(0));
}

TEST(RetryTest, RetriesWhatAnOverloadedOrDyingServerAnswers) {
  EXPECT_TRUE(IsRetryable(absl::CancelledError("")));
  EXPECT_TRUE(
      IsRetryable(FromGrpc(Refusal(grpc::StatusCode::RESOURCE_EXHAUSTED, "", "OVERLOADED"))));
}

TEST(RetryTest, DoesNotWaitWhenAStopIsRequested) {
  FakeClock clock;
  std::stop_source stop;
  const RetryOptions options;
  Retry retry(options, clock, stop.get_token());
  stop.request_stop();
  EXPECT_FALSE(retry.AwaitNext(kBroken));
  EXPECT_THAT(clock.sleeps(), SizeIs(0));
}

TEST(RetryTest, AStopDuringTheWaitPreventsARetry) {
  FakeClock clock;
  std::stop_source stop;
  clock.OnSleep([&] { stop.request_stop(); });
  const RetryOptions options;
  EXPECT_FALSE(Retry(options, clock, stop.get_token()).AwaitNext(kBroken));
}

TEST(RetryTest, ReportsWhyAndHowLongItWaits) {
  FakeClock clock;
  std::vector<std::string> told;
  RetryOptions options;
  options.on_retry = [&](const Interruption& now) {
    EXPECT_GT(now.wait, Clock::Duration(0));
    told.push_back(std::string(now.why.message()) + std::to_string(now.failures));
  };
  Retry retry(options, clock, {});
  retry.AwaitNext(kBroken);
  retry.AwaitNext(kBroken);
  retry.Succeeded();
  retry.AwaitNext(kBroken);
  EXPECT_THAT(told, ElementsAre("broken1", "broken2", "broken1"));
}

TEST(RetryTest, SurvivesWhatAProxyLeavesUnlessItRepeats) {
  FakeClock clock;
  const RetryOptions options{.max_unexplained = 3};
  for (const auto& status : {absl::UnknownError(""), absl::InternalError("RST_STREAM")}) {
    Retry retry(options, clock, {});
    for (int round = 0; round < 3; ++round) {
      EXPECT_TRUE(retry.AwaitNext(status));
      EXPECT_TRUE(retry.AwaitNext(kBroken));
      EXPECT_TRUE(retry.AwaitNext(status));
      retry.Succeeded();
    }
    EXPECT_TRUE(retry.AwaitNext(status));
    EXPECT_TRUE(retry.AwaitNext(status));
    EXPECT_FALSE(retry.AwaitNext(status));
  }
}

TEST(RetryTest, BelievesAnErrorThatTheServerExplains) {
  FakeClock clock;
  const RetryOptions options;
  Retry retry(options, clock, {});
  EXPECT_FALSE(retry.AwaitNext(
      FromGrpc(Refusal(grpc::StatusCode::INTERNAL, "broken", "ORDER_REFUSED", {}))));
}

}  // namespace
}  // namespace client
