#include "service/rpc/blocking_pool.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "tests/common/eventually.h"
#include "tests/common/no_threads.h"

namespace rpc {
namespace {

using ::lifecycle::Clock;
using ::testing::ElementsAre;
using testkit::Soon;

// Work that says when it has started, and ends when it is let go.
class Gate {
 public:
  void operator()() {
    started_.set_value();
    open_.get_future().wait();
  }
  void AwaitStarted() { started_.get_future().wait(); }
  void Open() { open_.set_value(); }

 private:
  std::promise<void> started_;
  std::promise<void> open_;
};

Clock::TimePoint Past() { return Clock::Steady().Now() - std::chrono::seconds(1); }

TEST(BlockingPool, RunsWorkInTheOrderSubmitted) {
  std::vector<int> order;
  BlockingPool pool(/*threads=*/1, /*capacity=*/100);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(pool.Run([&order, i] { order.push_back(i); }));
  ASSERT_TRUE(pool.Close(Soon()).ok());
  EXPECT_THAT(order, ElementsAre(0, 1, 2, 3, 4));
}

TEST(BlockingPool, ReportsWorkThatThrowsAndContinues) {
  std::vector<std::string> failures;
  BlockingPool pool(/*threads=*/1, /*capacity=*/100, [&failures](const absl::Status& failure) {
    failures.push_back(failure.ToString());
  });
  bool ran = false;
  ASSERT_TRUE(pool.Run([] { throw std::runtime_error("no disk"); }));
  ASSERT_TRUE(pool.Run([&ran] { ran = true; }));
  ASSERT_TRUE(pool.Close(Soon()).ok());
  EXPECT_THAT(failures, ElementsAre("INTERNAL: threw: no disk"));
  EXPECT_TRUE(ran);
}

TEST(BlockingPoolDeathTest, EndsTheProcessWithoutAFailureCallback) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        BlockingPool pool(/*threads=*/1, /*capacity=*/100);
        (void)pool.Run([] { throw std::runtime_error("no disk"); });
        (void)pool.Close(Soon());
      },
      "threw: no disk");
}

TEST(BlockingPool, LeavesNoThreadWhenItCannotStartAll) {
  const testkit::NoThreads none;
  try {
    const BlockingPool pool(/*threads=*/2, /*capacity=*/10);
    ADD_FAILURE() << "it has started";
  } catch (const std::system_error& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("only 0 of a pool's 2 threads can be created"));
  }
}

TEST(BlockingPool, RunsOneItemPerThreadAtOnce) {
  Gate first, second;
  BlockingPool pool(/*threads=*/2, /*capacity=*/10);
  ASSERT_TRUE(pool.Run(std::ref(first)));
  ASSERT_TRUE(pool.Run(std::ref(second)));
  first.AwaitStarted();
  second.AwaitStarted();
  second.Open();
  first.Open();
}

TEST(BlockingPool, RefusesWorkAboveItsCapacity) {
  Gate gate;
  BlockingPool pool(/*threads=*/1, /*capacity=*/2);
  ASSERT_TRUE(pool.Run(std::ref(gate)));
  gate.AwaitStarted();
  std::atomic<int> ran = 0;
  EXPECT_TRUE(pool.Run([&ran] { ++ran; }));
  EXPECT_TRUE(pool.Run([&ran] { ++ran; }));
  EXPECT_FALSE(pool.Run([&ran] { ++ran; }));
  gate.Open();
  EXPECT_TRUE(pool.Close(Soon()).ok());
  EXPECT_EQ(ran, 2);
}

TEST(BlockingPool, RefusesEverythingOnceItIsClosed) {
  BlockingPool pool(/*threads=*/1, /*capacity=*/1);
  ASSERT_TRUE(pool.Close(Soon()).ok());
  EXPECT_FALSE(pool.Run([] { ADD_FAILURE() << "was run"; }));
  EXPECT_TRUE(pool.Close(Past()).ok()) << "closed already";
}

TEST(BlockingPool, ReportsWorkStillRunningAtTheDeadline) {
  Gate gate;
  std::atomic<bool> waiting_ran = false;
  BlockingPool pool(/*threads=*/1, /*capacity=*/10);
  ASSERT_TRUE(pool.Run(std::ref(gate)));
  ASSERT_TRUE(pool.Run([&] { waiting_ran = true; }));
  gate.AwaitStarted();
  EXPECT_TRUE(absl::IsDeadlineExceeded(pool.Close(Past())));
  EXPECT_FALSE(waiting_ran);
  gate.Open();
  EXPECT_TRUE(pool.Close(Soon()).ok());
  EXPECT_TRUE(waiting_ran);
}

TEST(BlockingPool, RunsWhatWaitsBeforeItIsDestroyed) {
  std::atomic<int> ran = 0;
  {
    BlockingPool pool(/*threads=*/3, /*capacity=*/1000);
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(pool.Run([&ran] { ++ran; }));
  }
  EXPECT_EQ(ran, 500);
}

TEST(BlockingPool, AcceptsWorkFromItsOwnWork) {
  std::promise<bool> taken;
  std::promise<void> ran;
  BlockingPool pool(/*threads=*/1, /*capacity=*/1);
  ASSERT_TRUE(pool.Run([&] { taken.set_value(pool.Run([&ran] { ran.set_value(); })); }));
  EXPECT_TRUE(taken.get_future().get());
  ran.get_future().wait();
}

TEST(BlockingPool, ReleasesWorkBeforeCountingItAsEnded) {
  BlockingPool pool(/*threads=*/1, /*capacity=*/1);
  auto held = std::make_shared<int>(0);
  const std::weak_ptr<int> watched = held;
  ASSERT_TRUE(pool.Run([held = std::move(held)] {}));
  ASSERT_TRUE(pool.Close(Soon()).ok());
  EXPECT_TRUE(watched.expired());
}

TEST(BlockingPoolTest, RefusesWorkWhileTheOldestWaitsTooLong) {
  lifecycle::FakeClock clock;
  BlockingPool pool(1, 100, nullptr, std::chrono::milliseconds(500), clock);
  Gate gate;
  ASSERT_TRUE(pool.Run(std::ref(gate)));
  gate.AwaitStarted();
  std::atomic<int> run{0};
  EXPECT_TRUE(pool.Run([&run] { ++run; }));
  clock.Advance(std::chrono::milliseconds(500));
  EXPECT_TRUE(pool.Run([&run] { ++run; }));
  clock.Advance(std::chrono::milliseconds(1));
  EXPECT_FALSE(pool.Run([&run] { ++run; }));
  // What was accepted is run, and then there is room again.
  gate.Open();
  std::promise<void> emptied;
  ASSERT_TRUE(testkit::Eventually([&] { return pool.Run([&emptied] { emptied.set_value(); }); }));
  emptied.get_future().wait();
  EXPECT_EQ(run, 2);
}

TEST(BlockingPoolTest, ContinuesBegunWorkBeforeNewWork) {
  lifecycle::FakeClock clock;
  BlockingPool pool(1, 2, nullptr, std::chrono::milliseconds(500), clock);
  Gate gate;
  ASSERT_TRUE(pool.Run(std::ref(gate)));
  gate.AwaitStarted();
  std::string order;
  EXPECT_TRUE(pool.Run([&order] { order += "a"; }));
  EXPECT_TRUE(pool.Run([&order] { order += "b"; }));
  EXPECT_FALSE(pool.Run([] {}));
  clock.Advance(std::chrono::hours(1));
  EXPECT_TRUE(pool.Continue([&order] { order += "1"; }));
  EXPECT_TRUE(pool.Continue([&order] { order += "2"; }));
  gate.Open();
  EXPECT_TRUE(pool.Close(lifecycle::Clock::TimePoint::max()).ok());
  EXPECT_EQ(order, "12ab");
  EXPECT_FALSE(pool.Continue([] {}));
}

}  // namespace
}  // namespace rpc
