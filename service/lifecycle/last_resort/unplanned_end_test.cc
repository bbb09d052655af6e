#include "service/lifecycle/last_resort/unplanned_end.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <stdexcept>
#include <string>
#include <thread>

#include "service/lifecycle/last_resort/precondition.h"

namespace lifecycle {
namespace {

using testing::ExitedWithCode;

// Each in a process of its own.
class UnplannedEndDeathTest : public testing::Test {
 protected:
  UnplannedEndDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  static void Throw() noexcept { throw_(); }

  // Says that it was asked, and exits with 90.
  static void Say(const std::string& why) {
    std::fprintf(stderr, "asked: %s\n", why.c_str());
    _exit(90);
  }

 private:
  static inline void (*const throw_)() = [] { throw std::runtime_error("no thread"); };
};

TEST_F(UnplannedEndDeathTest, DuringTheStartIsAFailedStart) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        Throw();
      },
      ExitedWithCode(2), "^could not start: uncaught exception: no thread\n$");
}

TEST_F(UnplannedEndDeathTest, CallsItsCallback) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        const UnplannedEnd end(Say);
        std::thread(Throw).join();
      },
      ExitedWithCode(90), "asked: uncaught exception: no thread");
}

TEST_F(UnplannedEndDeathTest, HandlesABrokenPrecondition) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        const UnplannedEnd end(Say);
        Require(false, "a square is round");
      },
      ExitedWithCode(90), "broken precondition: a square is round");
}

TEST_F(UnplannedEndDeathTest, HandlesExitWhileMainIsRunning) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        const UnplannedEnd end(Say);
        std::thread([] { std::exit(0); }).join();
      },
      ExitedWithCode(90), "asked: exit\\(\\) was called while main was running");
}

TEST_F(UnplannedEndDeathTest, IsABugWithoutACallback) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        { const UnplannedEnd end(Say); }
        Throw();
      },
      ExitedWithCode(7), "^unplanned end: uncaught exception");
}

TEST_F(UnplannedEndDeathTest, EndsEvenWhenTheCallbackThrows) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        const UnplannedEnd end([](const std::string&) { Throw(); });
        Throw();
      },
      ExitedWithCode(7), "");
}

TEST_F(UnplannedEndDeathTest, IsNotOvertakenByTheReturnOfMain) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        std::promise<void> ends;
        {
          const UnplannedEnd end([&ends](const std::string& why) {
            ends.set_value();
            std::this_thread::sleep_for(std::chrono::milliseconds(100));
            Say(why);
          });
          std::thread(Throw).detach();
          ends.get_future().wait();
        }
        _exit(91);
      },
      ExitedWithCode(90), "asked: uncaught exception: no thread");
}

TEST_F(UnplannedEndDeathTest, DoesNothingWhenMainReturns) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        { const UnplannedEnd end(Say); }
        std::exit(0);
      },
      ExitedWithCode(0), "^$");
}

}  // namespace
}  // namespace lifecycle
