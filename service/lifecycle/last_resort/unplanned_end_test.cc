#include "service/lifecycle/last_resort/unplanned_end.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
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

TEST_F(UnplannedEndDeathTest, OfAStartIsOneThatFailed) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        Throw();
      },
      ExitedWithCode(2), "^could not start: an exception that nobody caught: no thread\n$");
}

TEST_F(UnplannedEndDeathTest, IsAskedFor) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        const UnplannedEnd end(Say);
        std::thread(Throw).join();
      },
      ExitedWithCode(90), "asked: an exception that nobody caught: no thread");
}

TEST_F(UnplannedEndDeathTest, IsToldOfABrokenPrecondition) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        const UnplannedEnd end(Say);
        Require(false, "a square is round");
      },
      ExitedWithCode(90), "broken precondition: a square is round");
}

TEST_F(UnplannedEndDeathTest, IsToldOfAnExitWhileMainIsAtWork) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        const UnplannedEnd end(Say);
        std::thread([] { std::exit(0); }).join();
      },
      ExitedWithCode(90), "asked: exit\\(\\) was called while main was at work");
}

TEST_F(UnplannedEndDeathTest, IsABugWhenNobodyIsAskedAnyMore) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        { const UnplannedEnd end(Say); }
        Throw();
      },
      ExitedWithCode(7), "^unplanned end: an exception");
}

TEST_F(UnplannedEndDeathTest, EndsAlsoWhenWhoIsAskedThrows) {
  EXPECT_EXIT(
      {
        UnplannedEnd::Install();
        const UnplannedEnd end([](const std::string&) { Throw(); });
        Throw();
      },
      ExitedWithCode(7), "");
}

TEST_F(UnplannedEndDeathTest, IsNoneWhenMainReturns) {
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
