#include "service/lifecycle/shutdown_registry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <barrier>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "service/lifecycle/testing/fake_clock.h"
#include "tests/common/eventually.h"
#include "tests/common/no_threads.h"

namespace lifecycle {
namespace {

using Handle = ShutdownRegistry::Handle;
using Options = ShutdownRegistry::Options;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// A closer that says that it has begun, and returns when it is let go.
class Held {
 public:
  ShutdownRegistry::Closer Closer() {
    return [state = state_](Clock::TimePoint deadline) {
      state->began.set_value(deadline);
      state->let_go.get_future().wait();
      return absl::OkStatus();
    };
  }
  ~Held() { LetGo(); }

  // Blocks until the closer has begun; returns the deadline that it was given.
  Clock::TimePoint AwaitBegun() { return state_->began.get_future().get(); }

  void LetGo() {
    if (!std::exchange(let_go_, true)) state_->let_go.set_value();
  }

 private:
  struct State {
    std::promise<Clock::TimePoint> began;
    std::promise<void> let_go;
  };
  // Shared with the closer, which may outlive the test.
  const std::shared_ptr<State> state_ = std::make_shared<State>();
  bool let_go_ = false;
};

std::string Word(const ShutdownRegistry::Closed& closed) {
  if (closed.passed_over) return closed.name + " passed over";
  return closed.status.ok() ? closed.name : closed.name + " " + closed.status.ToString();
}

class ShutdownRegistryTest : public testing::Test {
 protected:
  Handle Register(const std::string& name) { return Register(name, Options()); }
  Handle Register(const std::string& name, Options options) {
    return registry_.Register(
        name,
        [this, name](Clock::TimePoint) {
          std::lock_guard lock(mutex_);
          called_.push_back(name);
          return absl::OkStatus();
        },
        std::move(options));
  }
  // Two of these return only when both run at the same time.
  Handle RegisterMeeting(const std::string& name, std::vector<Handle> uses) {
    return registry_.Register(name,
                              [this](Clock::TimePoint) {
                                meeting_.arrive_and_wait();
                                return absl::OkStatus();
                              },
                              {.uses = std::move(uses)});
  }

  // What CloseAll() told, in order.
  std::vector<std::string> CloseAll(Clock::Duration budget = seconds(30)) {
    std::vector<std::string> told;
    Patience patience(clock_, budget, expedite_.get_token());
    registry_.CloseAll(
        patience, [&](const ShutdownRegistry::Closed& closed) { told.push_back(Word(closed)); });
    return told;
  }
  // The same on a thread of its own, for a test that moves the clock meanwhile.
  std::future<std::vector<std::string>> StartCloseAll(Clock::Duration budget = seconds(30)) {
    return std::async(std::launch::async, [this, budget] { return CloseAll(budget); });
  }

  // Blocks until exactly these closers run. Asks again and again, because
  // TryClosing() may not be able to tell.
  void AwaitClosing(const std::vector<std::string>& names) {
    ASSERT_TRUE(testkit::Eventually([&] { return registry_.TryClosing() == names; }));
  }

  FakeClock clock_;
  std::stop_source expedite_;
  ShutdownRegistry registry_;
  std::mutex mutex_;
  std::vector<std::string> called_;  // Guarded by mutex_.
  std::barrier<> meeting_{2};
};

TEST_F(ShutdownRegistryTest, ClosesInReverseOrderOfRegistration) {
  Register("database");
  Register("cache");
  Register("channel");
  EXPECT_THAT(CloseAll(), ElementsAre("channel", "cache", "database"));
  EXPECT_THAT(called_, ElementsAre("channel", "cache", "database"));
}

TEST_F(ShutdownRegistryTest, HasNothingToDoWhenEmpty) { EXPECT_THAT(CloseAll(), IsEmpty()); }

TEST_F(ShutdownRegistryTest, ClosesIndependentEntriesInParallel) {
  RegisterMeeting("one", {});
  RegisterMeeting("two", {});
  EXPECT_THAT(CloseAll(), UnorderedElementsAre("one", "two"));
}

TEST_F(ShutdownRegistryTest, ClosesLastWhatIsUsedByAll) {
  Register("admin", {.used_by_all = true});
  Register("channel", {.uses = ShutdownRegistry::kUsesNothing});
  Register("database");
  Register("cache", {.uses = ShutdownRegistry::kUsesNothing});
  const std::vector<std::string> told = CloseAll();
  ASSERT_EQ(told.size(), 4u);
  EXPECT_EQ(told.back(), "admin");
}

TEST_F(ShutdownRegistryTest, ClosesWhatIsUsedByAllAndRegisteredWhileTheLikeIsClosed) {
  const Handle bottom = Register("bottom", {.used_by_all = true});
  registry_.Register("first",
                     [&](Clock::TimePoint) {
                       registry_.Register("second",
                                          [&](Clock::TimePoint) {
                                            Register("third", {.uses = {{bottom}}});
                                            return absl::OkStatus();
                                          },
                                          {.used_by_all = true});
                       return absl::OkStatus();
                     },
                     {.used_by_all = true});
  const std::vector<std::string> told = CloseAll();
  EXPECT_THAT(told, UnorderedElementsAre("first", "second", "third", "bottom"));
  EXPECT_EQ(told.back(), "bottom");
}

TEST_F(ShutdownRegistryTest, ClosesADiamondsTopThenSidesInParallel) {
  const Handle bottom = Register("bottom");
  const Handle left = RegisterMeeting("left", {bottom});
  const Handle right = RegisterMeeting("right", {bottom});
  Register("top", {.uses = {{left, right}}});
  const std::vector<std::string> told = CloseAll();
  ASSERT_EQ(told.size(), 4u);
  EXPECT_EQ(told.front(), "top");
  EXPECT_EQ(told.back(), "bottom");
}

TEST_F(ShutdownRegistryTest, ClosesNothingThatIsStillUsed) {
  Held user;
  const Handle used = Register("used", {.uses = ShutdownRegistry::kUsesNothing});
  registry_.Register("user", user.Closer(), {.uses = {{used}}});
  Register("other", {.uses = {{used}}});
  auto told = StartCloseAll();
  user.AwaitBegun();
  AwaitClosing({"user"});
  clock_.AwaitWaiters(1);
  {
    std::lock_guard lock(mutex_);
    EXPECT_THAT(called_, testing::Not(testing::Contains("used")));
  }
  user.LetGo();
  // Which of the two is told first is up to their threads.
  EXPECT_THAT(told.get(), testing::AnyOf(ElementsAre("other", "user", "used"),
                                         ElementsAre("user", "other", "used")));
}

TEST_F(ShutdownRegistryTest, PassesOverOnlyTheCloserThatHangs) {
  Held hangs;
  Register("database");
  registry_.Register("channel", hangs.Closer(), {.limit = seconds(2)});
  Register("cache");
  auto told = StartCloseAll();
  EXPECT_EQ(hangs.AwaitBegun(), clock_.Now() + seconds(2) - ShutdownRegistry::kToAnswer);
  clock_.Advance(seconds(2));
  EXPECT_THAT(told.get(), ElementsAre("cache", "channel passed over", "database"));
}

TEST_F(ShutdownRegistryTest, PassesOverNoCloserBeforeItsLimit) {
  Held slow;
  registry_.Register("slow", slow.Closer(), {.limit = seconds(2)});
  auto told = StartCloseAll();
  slow.AwaitBegun();
  clock_.Advance(seconds(2) - milliseconds(1));
  clock_.AwaitWaiters(1);
  slow.LetGo();
  EXPECT_THAT(told.get(), ElementsAre("slow"));
}

TEST_F(ShutdownRegistryTest, PassesOverNoCloserSuspendedWithIt) {
  Held one, two, hangs;
  registry_.Register("one", one.Closer(),
                     {.uses = ShutdownRegistry::kUsesNothing, .limit = seconds(2)});
  registry_.Register("two", two.Closer(),
                     {.uses = ShutdownRegistry::kUsesNothing, .limit = seconds(3)});
  registry_.Register("hangs", hangs.Closer(),
                     {.uses = ShutdownRegistry::kUsesNothing, .limit = seconds(4)});
  auto told = StartCloseAll();
  AwaitClosing({"one", "two", "hangs"});
  clock_.AwaitWaiters(1);
  clock_.Advance(seconds(20));
  clock_.AwaitWaiters(1);
  one.LetGo();
  two.LetGo();
  AwaitClosing({"hangs"});
  clock_.AwaitWaiters(1);
  clock_.Advance(milliseconds(200));
  EXPECT_THAT(told.get(), UnorderedElementsAre("one", "two", "hangs passed over"));
}

TEST_F(ShutdownRegistryTest, GivesACloserAllUnguaranteedTime) {
  Held first, second, third;
  registry_.Register("third", third.Closer());
  registry_.Register("second", second.Closer());
  registry_.Register("first", first.Closer());
  auto told = StartCloseAll(seconds(29));
  EXPECT_EQ(first.AwaitBegun(), clock_.Now() + seconds(28) - ShutdownRegistry::kToAnswer);
  clock_.Advance(seconds(28));
  // Half of it is less than is guaranteed otherwise.
  EXPECT_EQ(second.AwaitBegun(), clock_.Now() + milliseconds(750 - 100));
  clock_.Advance(milliseconds(750));
  EXPECT_EQ(third.AwaitBegun(), clock_.Now() + milliseconds(250 - 50));
  clock_.Advance(milliseconds(250));
  EXPECT_THAT(told.get(),
              ElementsAre("first passed over", "second passed over", "third passed over"));
}

TEST_F(ShutdownRegistryTest, GuaranteesThoseBelowHalfAShortTime) {
  Held first, second;
  registry_.Register("second", second.Closer());
  registry_.Register("first", first.Closer());
  auto told = StartCloseAll(milliseconds(400));
  EXPECT_EQ(first.AwaitBegun(), clock_.Now() + milliseconds(300 - 300 / 5));
  clock_.Advance(milliseconds(300));
  EXPECT_EQ(second.AwaitBegun(), clock_.Now() + milliseconds(100 - 100 / 5));
  clock_.Advance(milliseconds(100));
  EXPECT_THAT(told.get(), ElementsAre("first passed over", "second passed over"));
}

TEST_F(ShutdownRegistryTest, PassesOnTheTimeThatACloserLeaves) {
  Held first, second;
  registry_.Register("second", second.Closer());
  registry_.Register("first", first.Closer());
  auto told = StartCloseAll(seconds(4));
  first.AwaitBegun();
  first.LetGo();
  EXPECT_EQ(second.AwaitBegun(), clock_.Now() + seconds(4) - ShutdownRegistry::kToAnswer);
  second.LetGo();
  EXPECT_THAT(told.get(), ElementsAre("first", "second"));
}

TEST_F(ShutdownRegistryTest, ReportsACloserGivingUpAtItsDeadline) {
  registry_.Register("channel", [this](Clock::TimePoint deadline) {
    clock_.Advance(deadline - clock_.Now());
    return absl::DeadlineExceededError("2 calls still use it");
  });
  Patience patience(clock_, seconds(1), {});
  absl::Status status;
  registry_.CloseAll(patience, [&](const auto& closed) { status = closed.status; });
  EXPECT_EQ(status.message(), "2 calls still use it");
}

TEST_F(ShutdownRegistryTest, DividesTheTimeAnewWhenExpedited) {
  Held hangs, below;
  registry_.Register("below", below.Closer());
  registry_.Register("hangs", hangs.Closer());
  auto told = StartCloseAll();
  hangs.AwaitBegun();
  clock_.AwaitWaiters(1);
  const Clock::TimePoint expedited_at = clock_.Now();
  expedite_.request_stop();
  clock_.AwaitWaiters(1);
  clock_.Advance(Patience::kExpedited / 4 * 3);
  below.AwaitBegun();
  EXPECT_LT(clock_.Now(), expedited_at + Patience::kExpedited);
  below.LetGo();
  EXPECT_THAT(told.get(), ElementsAre("hangs passed over", "below"));
}

TEST_F(ShutdownRegistryTest, IsShortFromTheStartWhenAlreadyExpedited) {
  expedite_.request_stop();
  Held hangs;
  Register("below");
  registry_.Register("hangs", hangs.Closer());
  auto told = StartCloseAll();
  EXPECT_LE(hangs.AwaitBegun(), clock_.Now() + Patience::kExpedited / 4 * 3);
  clock_.Advance(Patience::kExpedited / 4 * 3);
  EXPECT_THAT(told.get(), ElementsAre("hangs passed over", "below"));
}

TEST_F(ShutdownRegistryTest, NamesEveryEntryInOrderWithoutAnyTime) {
  Held one, two;
  registry_.Register("one", one.Closer());
  registry_.Register("two", two.Closer());
  EXPECT_THAT(CloseAll(seconds(0)), ElementsAre("two passed over", "one passed over"));
}

TEST_F(ShutdownRegistryTest, ContinuesAfterACloserThatFailsOrThrows) {
  Register("last");
  registry_.Register("odd", [](Clock::TimePoint) -> absl::Status { throw 7; });
  registry_.Register(
      "throws", [](Clock::TimePoint) -> absl::Status { throw std::runtime_error("broken pipe"); });
  registry_.Register("fails", [](Clock::TimePoint) { return absl::DataLossError("disk full"); });
  EXPECT_THAT(CloseAll(),
              ElementsAre("fails DATA_LOSS: disk full", "throws INTERNAL: threw: broken pipe",
                          "odd INTERNAL: threw something that is not a std::exception", "last"));
}

TEST_F(ShutdownRegistryTest, ReportsHowLongEachTook) {
  registry_.Register("slow", [this](Clock::TimePoint) {
    clock_.Advance(milliseconds(700));
    return absl::OkStatus();
  });
  Patience patience(clock_, seconds(9), {});
  Clock::Duration took{};
  registry_.CloseAll(patience, [&](const auto& closed) { took = closed.took; });
  EXPECT_EQ(took, milliseconds(700));
}

TEST_F(ShutdownRegistryTest, ClosesWhatIsRegisteredWhileACloserHangs) {
  Held hangs, late;
  registry_.Register("hangs", hangs.Closer());
  auto told = StartCloseAll();
  hangs.AwaitBegun();
  clock_.AwaitWaiters(1);
  registry_.Register("late", late.Closer(), {.uses = ShutdownRegistry::kUsesNothing});
  late.AwaitBegun();
  late.LetGo();
  hangs.LetGo();
  EXPECT_THAT(told.get(), UnorderedElementsAre("late", "hangs"));
}

TEST_F(ShutdownRegistryTest, ACloserThatGivesUpIsPassedOver) {
  registry_.Register("pool", [](Clock::TimePoint) {
    return absl::DeadlineExceededError("work is still running");
  });
  EXPECT_THAT(CloseAll(), ElementsAre("pool passed over"));
}

TEST_F(ShutdownRegistryTest, RollsBackAStartThatFailedHalfway) {
  const auto open = [this](const std::string& name, absl::Status status) {
    if (status.ok()) Register(name);
    return status;
  };
  ASSERT_TRUE(open("database", absl::OkStatus()).ok());
  ASSERT_TRUE(open("channel", absl::OkStatus()).ok());
  ASSERT_FALSE(open("listener", absl::UnavailableError("port in use")).ok());
  EXPECT_THAT(CloseAll(), ElementsAre("channel", "database"));
}

TEST_F(ShutdownRegistryTest, ClosesWhatIsRegisteredWhileItCloses) {
  registry_.Register("first", [this](Clock::TimePoint) {
    Register("registered meanwhile");
    return absl::OkStatus();
  });
  EXPECT_THAT(CloseAll(), testing::UnorderedElementsAre("first", "registered meanwhile"));
}

TEST_F(ShutdownRegistryTest, ClosesLateRegistrationsInParallel) {
  registry_.Register("first", [this](Clock::TimePoint) {
    RegisterMeeting("one", {});
    RegisterMeeting("two", {});
    return absl::OkStatus();
  });
  EXPECT_THAT(CloseAll(), UnorderedElementsAre("first", "one", "two"));
}

// Each of these would take minutes, were a closer's turn found by looking at all others.
TEST_F(ShutdownRegistryTest, ClosesTensOfThousandsInARow) {
  constexpr std::size_t kMany = 30'000;
  for (std::size_t i = 0; i < kMany; ++i) Register(std::to_string(i));
  EXPECT_THAT(CloseAll(), testing::SizeIs(kMany));
}

TEST_F(ShutdownRegistryTest, ClosesTensOfThousandsWithAFewThreads) {
  constexpr std::size_t kMany = 30'000;
  std::set<std::thread::id> threads;
  for (std::size_t i = 0; i < kMany; ++i) {
    registry_.Register(std::to_string(i),
                       [&](Clock::TimePoint) {
                         std::lock_guard lock(mutex_);
                         threads.insert(std::this_thread::get_id());
                         return absl::OkStatus();
                       },
                       {.uses = ShutdownRegistry::kUsesNothing});
  }
  EXPECT_THAT(CloseAll(), testing::SizeIs(kMany));
  EXPECT_LT(threads.size(), kMany / 10);
}

TEST_F(ShutdownRegistryTest, ClosesAnEntryThatTensOfThousandsUse) {
  constexpr std::size_t kMany = 30'000;
  const Handle database = Register("database", {.uses = ShutdownRegistry::kUsesNothing});
  for (std::size_t i = 0; i < kMany; ++i) Register(std::to_string(i), {.uses = {{database}}});
  const std::vector<std::string> told = CloseAll();
  ASSERT_THAT(told, testing::SizeIs(kMany + 1));
  EXPECT_EQ(told.back(), "database");
}

TEST_F(ShutdownRegistryTest, ClosesNothingTwice) {
  Register("database");
  EXPECT_THAT(CloseAll(), ElementsAre("database"));
  EXPECT_THAT(CloseAll(), IsEmpty());
  EXPECT_THAT(called_, ElementsAre("database"));
}

TEST_F(ShutdownRegistryTest, SaysSoWhenSomethingIsRegisteredTooLate) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        CloseAll();
        Register("late");
      },
      "broken precondition: ShutdownRegistry::Register\\(\"late\"\\) after everything was closed");
}

TEST_F(ShutdownRegistryTest, ReleasesACloserBeforeReportingIt) {
  const auto captured = std::make_shared<int>(1);
  registry_.Register("entry", [captured](Clock::TimePoint) { return absl::OkStatus(); });
  Patience patience(clock_, seconds(1), {});
  long uses = 0;
  registry_.CloseAll(patience, [&](const auto&) { uses = captured.use_count(); });
  EXPECT_EQ(uses, 1);
}

TEST_F(ShutdownRegistryTest, ACloserRunsUntilItsCapturesAreGone) {
  Held destructor;
  std::shared_ptr<void> slow_to_go(
      nullptr, [hangs = destructor.Closer()](void*) { hangs(Clock::TimePoint()).IgnoreError(); });
  registry_.Register(
      "entry", [captured = std::move(slow_to_go)](Clock::TimePoint) { return absl::OkStatus(); });
  auto told = StartCloseAll();
  destructor.AwaitBegun();
  clock_.Advance(seconds(30));
  EXPECT_THAT(told.get(), ElementsAre("entry passed over"));
}

TEST_F(ShutdownRegistryTest, IgnoresPassedOverClosersThatReturn) {
  static std::promise<void> thread_ended;
  struct TellsTheEnd {
    ~TellsTheEnd() { thread_ended.set_value(); }
  };
  Held late;
  registry_.Register("late", [closer = late.Closer()](Clock::TimePoint deadline) {
    thread_local TellsTheEnd end;
    (void)end;
    return closer(deadline);
  });
  auto told = StartCloseAll();
  late.AwaitBegun();
  clock_.Advance(seconds(30));
  EXPECT_THAT(told.get(), ElementsAre("late passed over"));
  late.LetGo();
  thread_ended.get_future().wait();
  EXPECT_THAT(CloseAll(), IsEmpty());
}

TEST_F(ShutdownRegistryTest, LeavesNoThreadOfACloserThatReturned) {
  static std::atomic<int> alive;
  struct Counted {
    Counted() { ++alive; }
    ~Counted() {
      for (int i = 0; i < 100; ++i) std::this_thread::yield();
      --alive;
    }
  };
  registry_.Register("entry", [](Clock::TimePoint) {
    thread_local Counted counted;
    (void)counted;
    return absl::OkStatus();
  });
  EXPECT_THAT(CloseAll(), ElementsAre("entry"));
  EXPECT_EQ(alive, 0);
}

TEST_F(ShutdownRegistryTest, MayBeDestroyedDuringAPassedOverCloser) {
  Held hangs;
  {
    ShutdownRegistry registry;
    registry.Register("hangs", hangs.Closer());
    auto told = std::async(std::launch::async, [&] {
      Patience patience(clock_, seconds(1), {});
      registry.CloseAll(patience, [](const auto&) {});
    });
    hangs.AwaitBegun();
    clock_.Advance(seconds(1));
    told.get();
  }
  hangs.LetGo();
}

TEST_F(ShutdownRegistryTest, ClosesOnItsOwnThreadWithoutNewThreads) {
  Register("database");
  Register("channel");
  const testkit::NoThreads none;
  EXPECT_THAT(CloseAll(), ElementsAre("channel", "database"));
}

TEST_F(ShutdownRegistryTest, ReportsWhichClosersAreRunning) {
  Held held;
  registry_.Register("held", held.Closer());
  EXPECT_THAT(registry_.TryClosing(), IsEmpty());
  auto told = StartCloseAll();
  held.AwaitBegun();
  AwaitClosing({"held"});
  held.LetGo();
  told.get();
  EXPECT_THAT(registry_.TryClosing(), IsEmpty());
}

}  // namespace
}  // namespace lifecycle
