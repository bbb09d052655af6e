#include "service/lifecycle/last_resort/watchdog.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include "tests/common/sanitized.h"

namespace lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::ExitedWithCode;

[[noreturn]] void HangForEver() {
  for (;;) pause();
}

using Time = std::chrono::steady_clock;

// A request for a shutdown.
class Request {
 public:
  void Make(Time::time_point at = Time::now()) {
    std::lock_guard lock(mutex_);
    at_ = at;
    changed_.notify_all();
  }

  operator Watchdog::AwaitRequest() {
    return [this](std::stop_token interrupt) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, interrupt, [this] { return at_.has_value(); });
      return at_;
    };
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<Time::time_point> at_;  // Guarded by mutex_.
};

// What ends the process: each in a process of its own.
class WatchdogDeathTest : public testing::Test {
 protected:
  WatchdogDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  // Ends the process, and says so.
  static void Bite() { _exit(90); }

  Request request_;
};

TEST_F(WatchdogDeathTest, SaysWhatIsStuckAndEndsTheProcess) {
  EXPECT_EXIT(
      {
        const auto begun = Time::now();
        Watchdog watchdog(request_, milliseconds(5), hours(1), [&] {
          // Neither before its time.
          if (Time::now() < begun + milliseconds(5)) _exit(91);
        });
        request_.Make();
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(WatchdogDeathTest, EndsTheProcessEvenWhenItsMessageHangs) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(request_, milliseconds(1), milliseconds(20), HangForEver);
        request_.Make();
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(WatchdogDeathTest, EndsTheProcessDespiteBlockedSignals) {
  EXPECT_EXIT(
      {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        Watchdog watchdog(request_, milliseconds(1), milliseconds(20), HangForEver);
        request_.Make();
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(WatchdogDeathTest, FiresWhenTheShutdownWasRequestedBeforeIt) {
  EXPECT_EXIT(
      {
        request_.Make();
        Watchdog watchdog(request_, milliseconds(1), hours(1), Bite);
        HangForEver();
      },
      ExitedWithCode(90), "");
}

TEST_F(WatchdogDeathTest, KeepsRunningWithoutItsObject) {
  EXPECT_EXIT(
      {
        {
          const milliseconds enough(testkit::kSanitized ? 5000 : 1000);
          Watchdog watchdog(request_, enough, hours(1), Bite);
          request_.Make();
        }
        HangForEver();
      },
      ExitedWithCode(5),
      "^watchdog: the shutdown has spent its grace; stuck after main; exit code 5\n");
}

// Both ends have passed when the process goes on.
TEST_F(WatchdogDeathTest, SaysWhatIsStuckAfterItWasStoppedBeyondItsEnd) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(request_, hours(1), hours(2), [] {
          std::this_thread::sleep_for(milliseconds(50));
          Bite();
        });
        request_.Make(Time::now() - hours(3));
        HangForEver();
      },
      ExitedWithCode(90), "");
}

TEST_F(WatchdogDeathTest, EndsTheProcessEvenWhenItsMessageHangsThen) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(request_, hours(1), hours(1) + milliseconds(20), HangForEver);
        request_.Make(Time::now() - hours(3));
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(WatchdogDeathTest, DestructorWaitsForItsMessage) {
  EXPECT_EXIT(
      {
        std::promise<void> speaks;
        {
          Watchdog watchdog(request_, milliseconds(0), hours(1), [&] {
            speaks.set_value();
            std::this_thread::sleep_for(milliseconds(50));
            Bite();
          });
          request_.Make();
          speaks.get_future().wait();
        }
        _exit(91);
      },
      ExitedWithCode(90), "");
}

TEST_F(WatchdogDeathTest, ExitsSoonerWithAnotherCodeOnRequest) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(request_, hours(1), hours(1), Bite);
        request_.Make();
        watchdog.ExitBy(Time::now() + milliseconds(1), ExitCode::kThirdSignal);
        HangForEver();
      },
      ExitedWithCode(6), "^$");
}

TEST_F(WatchdogDeathTest, ExitsNoLaterThanRequested) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(request_, hours(1), hours(1), Bite);
        watchdog.ExitBy(Time::now() + milliseconds(1), ExitCode::kWatchdog);
        watchdog.ExitBy(Time::now() + hours(1), ExitCode::kThirdSignal);
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

// In a process of its own: a request's end, hours away, is set by the watchdog's thread at the same
// moment as the near one by this thread. `offset` moves one against the other.
[[noreturn]] void SetBothEndsAtOnce(int offset) {
  alarm(20);  // Ends it with another status if the far one has won.
  std::atomic<bool> go = false;
  std::atomic<bool> waits = false;
  const Watchdog::AwaitRequest await = [&](std::stop_token) {
    waits = true;
    while (!go) continue;
    return Time::now();
  };
  Watchdog watchdog(await, hours(1), hours(1), [] {});
  while (!waits) continue;
  const auto soon = Time::now();
  go = true;
  for (std::atomic<int> passed = 0; passed < offset; ++passed) continue;
  watchdog.ExitBy(soon, ExitCode::kThirdSignal);
  HangForEver();
}

TEST(WatchdogTest, TheEarlierOfTwoEndsHoldsThoughBothAreSetAtOnce) {
  for (int round = 0; round < 300; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) SetBothEndsAtOnce(round % 50);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status)) << "in round " << round << ", signal " << WTERMSIG(status);
    ASSERT_EQ(WEXITSTATUS(status), 6) << "in round " << round;
  }
}

TEST_F(WatchdogDeathTest, DoesNothingBeforeAShutdownOrOnceDisarmed) {
  EXPECT_EXIT(
      {
        { const Watchdog called_off(request_, milliseconds(0), milliseconds(0), HangForEver); }
        const Watchdog waits(request_, milliseconds(0), milliseconds(0), HangForEver);
        // Another one, whose time begins now, is there first.
        Request requested;
        requested.Make();
        const Watchdog other(requested, milliseconds(100), hours(1), Bite);
        HangForEver();
      },
      ExitedWithCode(90), "");
}

TEST_F(WatchdogDeathTest, IsCalledOffByTheNextWatchdog) {
  EXPECT_EXIT(
      {
        {
          const Watchdog first(request_, milliseconds(1000), hours(1), Bite);
          request_.Make();
        }
        Request next;
        next.Make();
        const Watchdog second(next, milliseconds(2500), hours(1), Bite);
        HangForEver();
      },
      ExitedWithCode(90), "^$");
}

}  // namespace
}  // namespace lifecycle
