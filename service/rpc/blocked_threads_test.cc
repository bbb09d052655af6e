#include "service/rpc/blocked_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <latch>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "grpc/support/cpu.h"
#include "grpcpp/create_channel.h"
#include "grpcpp/generic/generic_stub.h"
#include "service/rpc/testing/blocker.h"
#include "service/rpc/testing/grpc_version.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;

const auto kNoCalls = [] { return std::string(); };

// Returns once all of gRPC's threads are free at the same time.
void MeetAllThreads() {
  // completion_queue_cc.cc, CallbackAlternativeCQ::Ref(); newer gRPC has more of them.
  const unsigned threads = std::clamp(gpr_cpu_num_cores() / 2, 2U, 16U);
  std::latch meeting(threads);
  std::latch ended(threads);
  grpc::GenericStub stub(grpc::CreateChannel("", nullptr));
  std::list<NowhereCall> calls(threads);
  for (NowhereCall& call : calls) {
    stub.UnaryCall(&call.context, "/nowhere/Meets", {}, &call.request, &call.response,
                   [&](const grpc::Status&) {
                     meeting.arrive_and_wait();
                     ended.count_down();
                   });
  }
  ended.wait();
}

TEST(BlockedThreads, AreReportedOnceInAWhile) {
  std::atomic<int> told = 0;
  {
    const Blocker blocker;
    const BlockedThreads blocked(kNoCalls, [&told](const std::string&) { ++told; },
                                 {milliseconds(1)});
    ASSERT_TRUE(testkit::Eventually([&] { return told > 0; }));
    EXPECT_TRUE(blocked.blocked());
    std::this_thread::sleep_for(milliseconds(20));  // Were it told again, it would be now.
  }
  EXPECT_EQ(told, 1);
}

// Longer than a busy machine keeps threads waiting that nobody blocks.
const BlockedThreads::Limits kLimit{std::chrono::seconds(2)};

TEST(BlockedThreads, AreReportedByOneServerWithTheCallsOfAll) {
  if (!kRunsOutOfThreads) GTEST_SKIP() << "gRPC makes more of them";
  std::promise<void> reported;
  std::vector<std::string> said;  // On one thread.
  const auto calls = [](const std::string& running) { return [running] { return running; }; };
  const auto say = [&](const std::string& server) {
    return [&, server](const std::string& running) {
      said.push_back(server + ": " + running);
      if (said.size() == 1) reported.set_value();
    };
  };
  {
    const BlockedThreads first(calls("1 /a"), say("first"), kLimit);
    const BlockedThreads idle(calls(""), say("idle"), kLimit);
    const BlockedThreads last(calls("2 /b"), say("last"), kLimit);
    const Blocker blocker;
    reported.get_future().wait();
    EXPECT_TRUE(testkit::Eventually([&] { return idle.blocked() && last.blocked(); }));
  }
  EXPECT_THAT(said, ElementsAre("first: 1 /a, 2 /b"));
}

TEST(BlockedThreads, AreReportedWithoutAServerThatIsGone) {
  if (!kRunsOutOfThreads) GTEST_SKIP() << "gRPC makes more of them";
  std::promise<std::string> said;
  std::optional<BlockedThreads> gone(
      std::in_place, [] { return std::string("1 /gone"); },
      [](const std::string&) { ADD_FAILURE() << "it is gone"; }, kLimit);
  const BlockedThreads stays(
      kNoCalls, [&said](const std::string& running) { said.set_value(running); }, kLimit);
  gone.reset();
  const Blocker blocker;
  EXPECT_EQ(said.get_future().get(), "");
}

TEST(BlockedThreads, AreNotBlockedOnceTheyHaveRecovered) {
  std::optional<Blocker> blocker(std::in_place);
  const BlockedThreads blocked(kNoCalls, [](const std::string&) {}, {milliseconds(1)});
  EXPECT_TRUE(testkit::Eventually([&] { return blocked.blocked(); }));
  blocker.reset();
  EXPECT_TRUE(testkit::Eventually([&] { return !blocked.blocked(); }));
}

TEST(BlockedThreads, AreBlockedForLongAfterAWhile) {
  std::optional<Blocker> blocker(std::in_place);
  const BlockedThreads blocked(kNoCalls, [](const std::string&) {},
                               {.blocked = milliseconds(1), .for_long = milliseconds(2)});
  EXPECT_TRUE(testkit::Eventually([&] { return blocked.blocked_for_long(); }));
  blocker.reset();
  EXPECT_TRUE(testkit::Eventually([&] { return !blocked.blocked_for_long(); }));
}

// gRPC's threads release the last channel, which ends them if there is no other.
TEST(BlockedThreads, MayRecoverWhenNobodyElseHasAChannel) {
  std::promise<void> released;
  const std::shared_future<void> free = released.get_future().share();
  for (int i = 0; i < 16; ++i) {
    const auto call = std::make_shared<NowhereCall>();
    grpc::GenericStub(grpc::CreateChannel("", nullptr))
        .UnaryCall(&call->context, "/nowhere/Blocks", {}, &call->request, &call->response,
                   [call, free](const grpc::Status&) { free.wait(); });
  }
  {
    const BlockedThreads blocked(kNoCalls, [](const std::string&) {}, {milliseconds(1)});
    ASSERT_TRUE(testkit::Eventually([&] { return blocked.blocked(); }));
  }
  released.set_value();
  const Blocker calls_that_come_back;
}

TEST(BlockedThreads, DoNotWaitForTheReportAboutThem) {
  std::optional<Blocker> blocker(std::in_place);
  std::promise<void> reporting;
  std::promise<void> recovered;
  std::future<void> until_recovered = recovered.get_future();
  std::future_status seen_by_the_report = std::future_status::timeout;
  const BlockedThreads blocked(kNoCalls,
                               [&](const std::string&) {
                                 reporting.set_value();
                                 seen_by_the_report =
                                     until_recovered.wait_for(std::chrono::seconds(30));
                               },
                               {milliseconds(1)});
  reporting.get_future().wait();
  blocker.reset();
  MeetAllThreads();  // One of them has taken back the call that found them blocked.
  recovered.set_value();
  EXPECT_TRUE(testkit::Eventually([&] { return !blocked.blocked(); }));
  EXPECT_EQ(seen_by_the_report, std::future_status::ready);
}

TEST(BlockedThreads, ThatRecoverInTimeAreNotReported) {
  std::atomic<int> told = 0;
  {
    const BlockedThreads blocked(kNoCalls, [&told](const std::string&) { ++told; },
                                 {std::chrono::seconds(60)});
    const Blocker calls_that_come_back;
  }
  EXPECT_EQ(told, 0);
}

}  // namespace
}  // namespace rpc
