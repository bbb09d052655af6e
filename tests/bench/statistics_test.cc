#include "tests/bench/statistics.h"

#include <vector>

#include "gtest/gtest.h"

namespace bench {
namespace {

TEST(PercentileTest, IsTheNearestRank) {
  std::vector<double> samples;
  for (int i = 100; i >= 1; --i) samples.push_back(i);
  EXPECT_EQ(Percentile(samples, 0.50), 50);
  EXPECT_EQ(Percentile(samples, 0.99), 99);
  EXPECT_EQ(Percentile(samples, 1.00), 100);
  EXPECT_EQ(Percentile(samples, 0.00), 1);
}

TEST(PercentileTest, OfFewSamplesIsOneThatWasMeasured) {
  EXPECT_EQ(Percentile({7}, 0.99), 7);
  EXPECT_EQ(Percentile({3, 1, 2}, 0.50), 2);
  EXPECT_EQ(Percentile({1, 2}, 0.51), 2);
}

TEST(SpreadTest, HasTheMiddleRoundAndTheOutermost) {
  const Spread odd = SpreadOf({5, 1, 3});
  EXPECT_EQ(odd.median, 3);
  EXPECT_EQ(odd.min, 1);
  EXPECT_EQ(odd.max, 5);
  EXPECT_EQ(SpreadOf({4, 1, 2, 100}).median, 3);
  EXPECT_EQ(SpreadOf({4}).median, 4);
}

TEST(RatioSpreadTest, ComparesEachRoundWithItsOwnOther) {
  // A machine that was slower by ten in the second round disturbed both sides.
  const Spread ratio = RatioSpread({11, 120, 10}, {10, 100, 10});
  EXPECT_DOUBLE_EQ(ratio.median, 1.1);
  EXPECT_DOUBLE_EQ(ratio.min, 1.0);
  EXPECT_DOUBLE_EQ(ratio.max, 1.2);
}

TEST(CostOfOneMoreTest, LeavesOutWhatStartingAndStoppingCost) {
  EXPECT_DOUBLE_EQ(CostOfOneMore(100, 1'000'000 + 100 * 77, 600, 1'000'000 + 600 * 77), 77);
}

TEST(CallgrindTotalTest, AddsUpThePartsOfTheOutput) {
  EXPECT_EQ(*CallgrindTotal("events: Ir\nfn=(1)\n3 14\ntotals: 12345678901\n"), 12345678901);
  EXPECT_EQ(*CallgrindTotal("totals: 5\npart: 2\ntotals: 6\n"), 11);
}

TEST(CallgrindTotalTest, OfAnythingElseIsAnError) {
  EXPECT_EQ(CallgrindTotal("subtotals: 3\n").status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(CallgrindTotal("").status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace bench
