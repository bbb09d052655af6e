#include "service/rpc/spare_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <future>
#include <string>

#include "grpc/grpc.h"
#include "grpc/support/cpu.h"
#include "grpc/support/time.h"
#include "grpcpp/alarm.h"
#include "service/rpc/testing/grpc_version.h"
#include "tests/common/eventually.h"
#include "tests/common/no_threads.h"

namespace rpc {
namespace {

TEST(SpareThreads, AreToBeHad) { EXPECT_TRUE(CheckSpareThreads(ThreadsForAServer()).ok()); }

TEST(SpareThreads, AreMissedWithAMessage) {
  const testkit::NoThreads none;
  const absl::Status status = CheckSpareThreads(3);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("only 0 of the 3 threads"));
}

TEST(SpareThreads, AreNotMissedByGrpcOnceItHasItsOwn) {
  if (!kRunsOutOfThreads || gpr_cpu_num_cores() > 32) GTEST_SKIP();
  grpc_init();
  StartThreadsOfExecutor();
  EXPECT_EQ(ThreadsForAServer(), 16) << "a second server needs them no more";
  const testkit::NoThreads none;
  constexpr int kMany = 1000;
  std::promise<void> all_set;
  const std::shared_future<void> known = all_set.get_future().share();
  std::atomic<int> done{0};
  std::deque<grpc::Alarm> alarms;
  for (int i = 0; i < kMany; ++i) {
    alarms.emplace_back().Set(gpr_time_0(GPR_CLOCK_MONOTONIC), [&done, known](bool) {
      known.wait();
      ++done;
    });
  }
  all_set.set_value();
  EXPECT_TRUE(testkit::Eventually([&] { return done == kMany; })) << done;
}

}  // namespace
}  // namespace rpc
