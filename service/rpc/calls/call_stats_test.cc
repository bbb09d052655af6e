#include "service/rpc/calls/call_stats.h"

#include <algorithm>
#include <chrono>
#include <climits>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rpc {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kGet[] = "/a.B/Get";
constexpr char kSet[] = "/a.B/Set";

// "/a.B/Get 0: 3": ended, by method and status.
std::vector<std::string> Ended(const CallStats& stats) {
  std::vector<std::string> lines;
  for (const CallStats::Row& row : stats.Look().ended) {
    const auto calls = std::accumulate(row.buckets.begin(), row.buckets.end(), std::int64_t{0});
    lines.push_back(row.method + " " + std::to_string(row.status) + ": " + std::to_string(calls));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

std::vector<std::string> Started(const CallStats& stats) {
  std::vector<std::string> lines;
  for (const CallStats::Started& each : stats.Look().started) {
    lines.push_back(each.method + ": " + std::to_string(each.calls));
  }
  std::sort(lines.begin(), lines.end());
  return lines;
}

TEST(CallStatsTest, CountsByMethodAndStatus) {
  const auto stats = std::make_unique<CallStats>();
  EXPECT_THAT(Started(*stats), IsEmpty());
  EXPECT_THAT(Ended(*stats), IsEmpty());
  for (int i = 0; i < 3; ++i) stats->Begin(kGet);
  stats->Begin(kSet);
  stats->End(kGet, 0, milliseconds(1));
  stats->End(kGet, 0, milliseconds(1));
  stats->End(kGet, 16, milliseconds(1));
  stats->End(kSet, CallStats::kNotReported, milliseconds(1));
  EXPECT_THAT(Started(*stats), ElementsAre("/a.B/Get: 3", "/a.B/Set: 1"));
  EXPECT_THAT(Ended(*stats), ElementsAre("/a.B/Get 0: 2", "/a.B/Get 16: 1", "/a.B/Set -1: 1"));
}

TEST(CallStatsTest, SortsDurationsIntoBucketsWithTheirUpperBound) {
  const auto stats = std::make_unique<CallStats>();
  stats->End(kGet, 0, microseconds(100));  // Belongs to "at most 0.1 ms".
  stats->End(kGet, 0, microseconds(101));
  stats->End(kGet, 0, std::chrono::seconds(100));
  stats->End(kGet, 0, std::chrono::seconds(101));
  stats->End(kGet, 0, microseconds(-1));  // A clock may be read on another core.
  ASSERT_EQ(stats->Look().ended.size(), 1u);
  const CallStats::Row row = stats->Look().ended.front();
  EXPECT_EQ(row.buckets[0], 2);
  EXPECT_EQ(row.buckets[1], 1);
  EXPECT_EQ(row.buckets[CallStats::kBounds.size() - 1], 1);
  EXPECT_EQ(row.buckets[CallStats::kBounds.size()], 1);
  EXPECT_NEAR(row.seconds, 201.000201, 1e-6);
}

TEST(CallStatsTest, CountsInventedNamesTogether) {
  const auto stats = std::make_unique<CallStats>();
  stats->Begin(nullptr);
  stats->End(nullptr, 12, milliseconds(1));
  EXPECT_THAT(Started(*stats), ElementsAre("other: 1"));
  EXPECT_THAT(Ended(*stats), ElementsAre("other 12: 1"));
}

TEST(CallStatsTest, CountsAStatusThatThereIsNotAsUnknown) {
  const auto stats = std::make_unique<CallStats>();
  for (const int status : {17, INT_MAX, INT_MIN, CallStats::kNotReported - 1}) {
    stats->End(kGet, status, milliseconds(1));
  }
  EXPECT_THAT(Ended(*stats), ElementsAre("/a.B/Get 2: 4"));
}

TEST(CallStatsTest, LosesNoCallOfTooManyMethods) {
  const auto stats = std::make_unique<CallStats>();
  const std::vector<std::string> names(2000, "/a.B/Get");
  for (const std::string& name : names) stats->Begin(name.c_str());
  std::int64_t started = 0;
  for (const CallStats::Started& each : stats->Look().started) started += each.calls;
  EXPECT_EQ(started, 2000);
  EXPECT_EQ(stats->Look().started.size(), 2u);  // One name, and "other".
}

TEST(CallStatsTest, LosesNoCallOfAnyThread) {
  constexpr int kThreads = 16;
  constexpr int kCalls = 10'000;
  const auto stats = std::make_unique<CallStats>();
  std::vector<std::jthread> threads;
  for (int thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&stats, thread] {
      for (int i = 0; i < kCalls; ++i) {
        const char* const method = i % 2 == 0 ? kGet : kSet;
        stats->Begin(method);
        stats->End(method, thread % 2, microseconds(i));
      }
    });
  }
  threads.clear();
  EXPECT_THAT(Started(*stats), ElementsAre("/a.B/Get: 80000", "/a.B/Set: 80000"));
  EXPECT_THAT(Ended(*stats), ElementsAre("/a.B/Get 0: 40000", "/a.B/Get 1: 40000",
                                         "/a.B/Set 0: 40000", "/a.B/Set 1: 40000"));
}

TEST(CallStats, KnowsWhetherAllCallsOfAMethodReportTheirStatus) {
  const auto stats = std::make_unique<CallStats>();
  EXPECT_FALSE(stats->Reports(kGet)) << "nobody knows";
  stats->SetReports(kGet, true);
  EXPECT_TRUE(stats->Reports(kGet));
  EXPECT_FALSE(stats->Reports(kSet));
  stats->SetReports(kGet, false);
  stats->SetReports(kGet, true);
  EXPECT_FALSE(stats->Reports(kGet)) << "one has not";
}

}  // namespace
}  // namespace rpc
