#include "service/lifecycle/certain_exit.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>

namespace lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::ExitedWithCode;

[[noreturn]] void HangForEver() {
  for (;;) pause();
}

// Each in a process of its own.
class CertainExitDeathTest : public testing::Test {
 protected:
  CertainExitDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

TEST_F(CertainExitDeathTest, ComesWhenTheLimitIsOver) {
  EXPECT_EXIT(
      {
        ExitAfter(milliseconds(1), ExitCode::kWatchdog);
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(CertainExitDeathTest, ComesAlsoWhenThereIsNoTime) {
  EXPECT_EXIT(
      {
        ExitAfter(milliseconds(0), ExitCode::kWatchdog);
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(CertainExitDeathTest, ComesAlsoWhenEveryThreadHasBlockedEverySignal) {
  EXPECT_EXIT(
      {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        const std::jthread other([] {
          ExitAfter(milliseconds(1), ExitCode::kThirdSignal);
          HangForEver();
        });
        HangForEver();
      },
      ExitedWithCode(6), "^$");
}

TEST_F(CertainExitDeathTest, IsTheOneThatWasAskedForFirst) {
  EXPECT_EXIT(
      {
        ExitAfter(milliseconds(1), ExitCode::kWatchdog);
        ExitAfter(hours(1), ExitCode::kThirdSignal);
        HangForEver();
      },
      ExitedWithCode(5), "^$");
}

TEST_F(CertainExitDeathTest, DoesNotKeepWhoeverEndsBefore) {
  EXPECT_EXIT(
      {
        ExitAfter(hours(1), ExitCode::kWatchdog);
        _exit(0);
      },
      ExitedWithCode(0), "^$");
}

}  // namespace
}  // namespace lifecycle
