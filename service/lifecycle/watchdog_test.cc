#include "service/lifecycle/watchdog.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <stop_token>
#include <thread>

namespace lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::ExitedWithCode;

[[noreturn]] void HangForEver() {
  for (;;) pause();
}

// What ends the process: each in a process of its own.
class WatchdogDeathTest : public testing::Test {
 protected:
  WatchdogDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  // Ends the process, and says so.
  static void Bite() { _exit(90); }

  ShutdownRequest request_{Clock::Steady()};
};

TEST_F(WatchdogDeathTest, SaysWhatIsStuckAndEndsTheProcess) {
  EXPECT_EXIT(
      {
        const auto begun = Clock::Steady().Now();
        Watchdog watchdog(request_, milliseconds(5), hours(1), [&] {
          // Neither before its time.
          if (Clock::Steady().Now() < begun + milliseconds(5)) _exit(91);
        });
        request_.Request(ShutdownReason::kTerminate);
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(WatchdogDeathTest, EndsTheProcessAlsoWhenSayingItHangs) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(request_, milliseconds(1), milliseconds(20), HangForEver);
        request_.Request(ShutdownReason::kTerminate);
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(WatchdogDeathTest, EndsTheProcessAlsoWhenEveryThreadHasBlockedEverySignal) {
  EXPECT_EXIT(
      {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        Watchdog watchdog(request_, milliseconds(1), milliseconds(20), HangForEver);
        request_.Request(ShutdownReason::kTerminate);
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(WatchdogDeathTest, ComesWhenTheStopWasRequestedBeforeItWasThere) {
  EXPECT_EXIT(
      {
        request_.Request(ShutdownReason::kTerminate);
        Watchdog watchdog(request_, milliseconds(1), hours(1), Bite);
        HangForEver();
      },
      ExitedWithCode(90), "");
}

TEST_F(WatchdogDeathTest, ComesAlsoWhenACallbackOfTheRequestHangs) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(request_, milliseconds(1), hours(1), Bite);
        const std::stop_callback hangs(request_.requested(), HangForEver);
        request_.Request(ShutdownReason::kTerminate);
      },
      ExitedWithCode(90), "");
}

TEST_F(WatchdogDeathTest, GoesOnWithoutItsObject) {
  EXPECT_EXIT(
      {
        {
          Watchdog watchdog(request_, milliseconds(200), hours(1), Bite);
          request_.Request(ShutdownReason::kTerminate);
        }
        HangForEver();
      },
      ExitedWithCode(5),
      "^watchdog: the shutdown has spent its grace; stuck after main; exit code 5\n");
}

TEST_F(WatchdogDeathTest, IsWaitedForByItsDestructorWhenItSpeaks) {
  EXPECT_EXIT(
      {
        std::promise<void> speaks;
        {
          Watchdog watchdog(request_, milliseconds(0), hours(1), [&] {
            speaks.set_value();
            std::this_thread::sleep_for(milliseconds(50));
            Bite();
          });
          request_.Request(ShutdownReason::kTerminate);
          speaks.get_future().wait();
        }
        _exit(91);
      },
      ExitedWithCode(90), "");
}

TEST_F(WatchdogDeathTest, ExitsSoonerWithAnotherCodeWhenItIsToldTo) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(request_, hours(1), hours(1), Bite);
        request_.Request(ShutdownReason::kTerminate);
        watchdog.ExitBy(Clock::Steady().Now() + milliseconds(1), ExitCode::kThirdSignal);
        HangForEver();
      },
      ExitedWithCode(6), "^$");
}

TEST_F(WatchdogDeathTest, ExitsNoLaterThanItIsTo) {
  EXPECT_EXIT(
      {
        Watchdog watchdog(request_, hours(1), hours(1), Bite);
        watchdog.ExitBy(Clock::Steady().Now() + milliseconds(1), ExitCode::kWatchdog);
        watchdog.ExitBy(Clock::Steady().Now() + hours(1), ExitCode::kThirdSignal);
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(WatchdogDeathTest, DoesNothingBeforeAStopIsRequestedNorAfterItWasCalledOff) {
  EXPECT_EXIT(
      {
        { const Watchdog called_off(request_, milliseconds(0), milliseconds(0), HangForEver); }
        const Watchdog waits(request_, milliseconds(0), milliseconds(0), HangForEver);
        // Another one, whose time begins now, is there first.
        ShutdownRequest requested(Clock::Steady());
        requested.Request(ShutdownReason::kTerminate);
        const Watchdog other(requested, milliseconds(100), hours(1), Bite);
        HangForEver();
      },
      ExitedWithCode(90), "");
}

TEST_F(WatchdogDeathTest, IsCalledOffByTheNextOneOnceItsObjectIsGone) {
  EXPECT_EXIT(
      {
        {
          const Watchdog first(request_, milliseconds(500), hours(1), Bite);
          request_.Request(ShutdownReason::kTerminate);
        }
        ShutdownRequest next(Clock::Steady());
        next.Request(ShutdownReason::kTerminate);
        const Watchdog second(next, milliseconds(1500), hours(1), Bite);
        HangForEver();
      },
      ExitedWithCode(90), "^$");
}

}  // namespace
}  // namespace lifecycle
