#include "service/lifecycle/task_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "service/lifecycle/testing/fake_clock.h"
#include "tests/common/eventually.h"
#include "tests/common/no_threads.h"

namespace lifecycle {
namespace {

using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;

void UntilStopped(std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait(lock, stop, [] { return false; });
}

std::vector<std::string> Told(const std::vector<TaskGroup::Left>& left) {
  std::vector<std::string> told;
  for (const TaskGroup::Left& task : left)
    told.push_back(task.name + ": " + task.status.ToString());
  return told;
}

TEST(TaskGroup, JoinsTasksThatEndWhenAsked) {
  FakeClock clock;
  TaskGroup group;
  group.Start("one", UntilStopped);
  group.Start("two", UntilStopped);
  group.RequestStop();
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(group.Join(patience), IsEmpty());
}

TEST(TaskGroup, JoinsAtOnceWhenNothingWasStarted) {
  FakeClock clock;
  TaskGroup group;
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(group.Join(patience), IsEmpty());
}

TEST(TaskGroup, ReportsATaskThatThrowsAtOnce) {
  FakeClock clock;
  std::promise<std::string> failed;
  TaskGroup group([&failed](const TaskGroup::Left& task) {
    failed.set_value(task.name + ": " + task.status.ToString());
  });
  group.Start("good", [](std::stop_token) {});
  group.Start("bad", [](std::stop_token) { throw std::runtime_error("no disk"); });
  EXPECT_EQ(failed.get_future().get(), "bad: INTERNAL: threw: no disk");
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(Told(group.Join(patience)), ElementsAre("bad: INTERNAL: threw: no disk"));
}

TEST(TaskGroup, ReportsFailuresThatAreNotTasks) {
  FakeClock clock;
  std::vector<std::string> failed;
  TaskGroup group([&failed](const TaskGroup::Left& task) { failed.push_back(task.name); });
  group.Fail("pool", absl::InternalError("threw"));
  EXPECT_THAT(failed, ElementsAre("pool"));
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(Told(group.Join(patience)), ElementsAre("pool: INTERNAL: threw"));
}

TEST(TaskGroupDeathTest, RefusesALateTaskWithAMessage) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  FakeClock clock;
  TaskGroup group;
  EXPECT_DEATH(
      {
        Patience patience(clock, seconds(1), {});
        group.Join(patience);
        group.Start("late", [](std::stop_token) {});
      },
      "broken precondition: TaskGroup::Start..late.. after all were joined");
}

TEST(TaskGroup, NamesATaskThatOverrunsItsTime) {
  FakeClock clock;
  std::promise<void> released;
  TaskGroup group;
  group.Start("obedient", UntilStopped);
  group.RequestStop();
  group.Start("deaf", [&](std::stop_token) { released.get_future().wait(); });
  ASSERT_TRUE(testkit::Eventually([&] {
    Patience none(clock, seconds(0), {});
    return group.Join(none).size() == 1;
  })) << "the obedient one has ended";
  std::future<std::vector<TaskGroup::Left>> join = std::async(std::launch::async, [&] {
    Patience patience(clock, seconds(3), {});
    return group.Join(patience);
  });
  clock.AwaitWaiters(1);
  clock.Advance(seconds(3));
  EXPECT_THAT(Told(join.get()), ElementsAre("deaf: DEADLINE_EXCEEDED: did not end in time"));
  released.set_value();
}

TEST(TaskGroup, JoinsATaskItHadNamedBefore) {
  FakeClock clock;
  std::promise<void> released;
  TaskGroup group;
  group.Start("slow", [&](std::stop_token) { released.get_future().wait(); });
  Patience none(clock, seconds(0), {});
  EXPECT_THAT(Told(group.Join(none)), ElementsAre("slow: DEADLINE_EXCEEDED: did not end in time"));
  released.set_value();
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(group.Join(patience), IsEmpty());
}

TEST(TaskGroup, ReturnsALateFailureOnce) {
  FakeClock clock;
  std::promise<void> released;
  TaskGroup group;
  group.Start("slow", [&](std::stop_token) {
    released.get_future().wait();
    throw std::runtime_error("no disk");
  });
  group.Fail("early", absl::InternalError("threw"));
  Patience none(clock, seconds(0), {});
  EXPECT_EQ(group.Join(none).size(), 2U);
  released.set_value();
  group.Fail("late", absl::InternalError("threw"));
  EXPECT_THAT(Told(group.LateFailures()), ElementsAre("late: INTERNAL: threw"));
  EXPECT_THAT(group.LateFailures(), IsEmpty());
}

TEST(TaskGroup, ReportsWhatTasksThrewInStartOrder) {
  FakeClock clock;
  TaskGroup group;
  group.Start("first", [](std::stop_token) { throw std::runtime_error("disk full"); });
  group.Start("second", [](std::stop_token) {});
  group.Start("third", [](std::stop_token) { throw 3; });
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(Told(group.Join(patience)),
              ElementsAre("first: INTERNAL: threw: disk full",
                          "third: INTERNAL: threw something that is not a std::exception"));
}

TEST(TaskGroup, StartsALateTaskWithARequestedToken) {
  FakeClock clock;
  TaskGroup group;
  group.RequestStop();
  std::atomic<bool> requested = false;
  group.Start("late", [&](std::stop_token stop) { requested = stop.stop_requested(); });
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(group.Join(patience), IsEmpty());
  EXPECT_TRUE(requested);
}

TEST(TaskGroup, ReleasesATaskBeforeItIsJoined) {
  FakeClock clock;
  TaskGroup group;
  auto captured = std::make_shared<int>(1);
  group.Start("task", [captured](std::stop_token) {});
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(group.Join(patience), IsEmpty());
  EXPECT_EQ(captured.use_count(), 1);
}

TEST(TaskGroup, ATaskRunsUntilItsCapturesAreGone) {
  FakeClock clock;
  std::promise<void> going;
  std::promise<void> released;
  TaskGroup group;
  std::shared_ptr<void> slow_to_go(nullptr, [&](void*) {
    going.set_value();
    released.get_future().wait();
  });
  group.Start("task", [captured = std::move(slow_to_go)](std::stop_token) {});
  going.get_future().wait();
  Patience none(clock, seconds(0), {});
  const std::vector<std::string> told = Told(group.Join(none));
  released.set_value();
  EXPECT_THAT(told, ElementsAre("task: DEADLINE_EXCEEDED: did not end in time"));
}

TEST(TaskGroup, EndsThreadsWithThem) {
  static std::atomic<int> alive;
  struct Counted {
    Counted() { ++alive; }
    ~Counted() {
      for (int i = 0; i < 100; ++i) std::this_thread::yield();
      --alive;
    }
  };
  FakeClock clock;
  TaskGroup group;
  group.Start("task", [](std::stop_token) {
    thread_local Counted counted;
    (void)counted;
  });
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(group.Join(patience), IsEmpty());
  EXPECT_EQ(alive, 0);
}

TEST(TaskGroup, RequestsAStopAndWaitsInItsDestructor) {
  std::atomic<bool> ended = false;
  {
    TaskGroup group;
    group.Start("task", [&](std::stop_token stop) {
      UntilStopped(stop);
      ended = true;
    });
  }
  EXPECT_TRUE(ended);
}

TEST(TaskGroup, DestructorWaitsForTasksStartedByTasks) {
  std::atomic<bool> ended = false;
  {
    TaskGroup group;
    group.Start("outer", [&](std::stop_token stop) {
      UntilStopped(stop);
      group.Start("inner", [&](std::stop_token) { ended = true; });
    });
  }
  EXPECT_TRUE(ended);
}

TEST(TaskGroup, JoinsATaskThatATaskStartsWhileItIsJoined) {
  FakeClock clock;
  TaskGroup group;
  std::promise<void> joining;
  std::atomic<bool> ended = false;
  group.Start("outer", [&](std::stop_token) {
    joining.get_future().wait();
    group.Start("inner", [&](std::stop_token stop) { ended = stop.stop_requested(); });
  });
  group.RequestStop();
  std::future<std::vector<TaskGroup::Left>> join = std::async(std::launch::async, [&] {
    Patience patience(clock, seconds(3), {});
    return group.Join(patience);
  });
  clock.AwaitWaiters(1);
  joining.set_value();
  EXPECT_THAT(join.get(), IsEmpty());
  EXPECT_TRUE(ended);
}

// TryStopping() may not be able to tell.
TEST(TaskGroup, TellsWhoWasAskedToStopAndStillRuns) {
  FakeClock clock;
  TaskGroup group;
  std::promise<void> held;
  group.Start("obedient", UntilStopped);
  group.Start("held", [&](std::stop_token) { held.get_future().wait(); });
  EXPECT_THAT(group.TryStopping(), IsEmpty());  // They are at work.
  group.RequestStop();
  EXPECT_TRUE(
      testkit::Eventually([&] { return group.TryStopping() == std::vector<std::string>{"held"}; }));
  held.set_value();
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(group.Join(patience), IsEmpty());
  EXPECT_THAT(group.TryStopping(), IsEmpty());
}

TEST(TaskGroup, StartsNothingWhenNoThreadCanBeCreated) {
  FakeClock clock;
  TaskGroup group;
  {
    const testkit::NoThreads none;
    EXPECT_THROW(group.Start("task", [](std::stop_token) {}), std::system_error);
  }
  Patience patience(clock, seconds(1), {});
  EXPECT_THAT(group.Join(patience), IsEmpty());
}

}  // namespace
}  // namespace lifecycle
