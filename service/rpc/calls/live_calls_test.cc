#include "service/rpc/calls/live_calls.h"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rpc {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kGet[] = "/a.B/Get";
constexpr char kSet[] = "/a.B/Set";

std::vector<std::string> Methods(const LiveCalls& calls) {
  std::vector<std::string> methods;
  calls.ForEach([&](const char* method) { methods.emplace_back(method); });
  std::sort(methods.begin(), methods.end());
  return methods;
}

TEST(LiveCalls, KnowsEachCallsMethodUntilItEnds) {
  const auto calls = std::make_unique<LiveCalls>();
  const int first = 0;
  const int second = 0;
  EXPECT_TRUE(calls->Begin(&first, kGet));
  EXPECT_TRUE(calls->Begin(&second, kSet));
  EXPECT_THAT(Methods(*calls), ElementsAre(kGet, kSet));
  EXPECT_STREQ(calls->End(&first).method, kGet);
  EXPECT_THAT(Methods(*calls), ElementsAre(kSet));
  EXPECT_STREQ(calls->End(&second).method, kSet);
  EXPECT_THAT(Methods(*calls), IsEmpty());
}

TEST(LiveCalls, KnowsNoCallThatDoesNotRun) {
  const auto calls = std::make_unique<LiveCalls>();
  const int call = 0;
  EXPECT_EQ(calls->End(&call).method, nullptr);
  EXPECT_TRUE(calls->Begin(&call, kGet));
  calls->End(&call);
  EXPECT_EQ(calls->End(&call).method, nullptr);
}

TEST(LiveCalls, KnowsACallsBeginningAndStatus) {
  const auto calls = std::make_unique<LiveCalls>();
  const lifecycle::Clock::TimePoint begun = lifecycle::Clock::Steady().Now();
  const int call = 0;
  ASSERT_TRUE(calls->Begin(&call, kGet, begun));
  EXPECT_TRUE(calls->SetStatus(&call, 5));
  EXPECT_FALSE(calls->SetStatus(&begun, 6)) << "it is not recorded";
  const LiveCalls::Entry entry = calls->End(&call);
  EXPECT_EQ(entry.begun, begun);
  EXPECT_EQ(entry.status, 5);
  // The next one in its place has none yet.
  ASSERT_TRUE(calls->Begin(&call, kSet));
  EXPECT_EQ(calls->End(&call).status, CallStats::kNotReported);
}

TEST(LiveCalls, IsFullUntilACallEnds) {
  const auto calls = std::make_unique<LiveCalls>();
  const std::vector<char> objects(100000);
  std::vector<const char*> noted;
  for (const char& object : objects) {
    if (calls->Begin(&object, kGet)) noted.push_back(&object);
  }
  // Most of the places are used before the last is.
  EXPECT_EQ(noted.size(), 8192U);
  for (const char* each : noted) EXPECT_STREQ(calls->End(each).method, kGet);
  EXPECT_THAT(Methods(*calls), IsEmpty());
  EXPECT_TRUE(calls->Begin(&objects.back(), kGet));
}

TEST(LiveCalls, HasPlaceForAThousandCallsPerSize) {
  const auto calls = std::make_unique<LiveCalls>();
  const std::vector<std::array<char, 1024>> contexts(1000);
  int refused = 0;
  for (const auto& context : contexts) refused += calls->Begin(&context, kGet) ? 0 : 1;
  EXPECT_LE(refused, 10);
}

TEST(LiveCalls, LosesNoneAmongThreads) {
  const auto calls = std::make_unique<LiveCalls>();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&calls, method = i % 2 == 0 ? kGet : kSet] {
      std::vector<int> mine(50);
      for (int round = 0; round < 2000; ++round) {
        std::vector<const int*> noted;
        for (const int& call : mine) {
          if (calls->Begin(&call, method)) noted.push_back(&call);
        }
        for (const int* call : noted) ASSERT_EQ(calls->End(call).method, method);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(Methods(*calls), IsEmpty());
}

}  // namespace
}  // namespace rpc
