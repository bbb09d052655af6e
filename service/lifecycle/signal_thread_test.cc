#include "service/lifecycle/signal_thread.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <initializer_list>
#include <latch>
#include <thread>

#include "service/lifecycle/testing/fake_clock.h"

namespace lifecycle {
namespace {

using std::chrono::milliseconds;

class SignalCountTest : public testing::Test {
 protected:
  FakeClock clock_;
  SignalCount count_{clock_};
};

TEST_F(SignalCountTest, TheFirstSigtermRequestsAShutdown) {
  EXPECT_EQ(count_.Next(SIGTERM), SignalMeaning::kTerminate);
}

TEST_F(SignalCountTest, TheFirstSigintOrSighupInterrupts) {
  EXPECT_EQ(count_.Next(SIGINT), SignalMeaning::kInterrupt);
  EXPECT_EQ(SignalCount(clock_).Next(SIGHUP), SignalMeaning::kInterrupt);
}

TEST_F(SignalCountTest, TheSecondExpeditesAndTheThirdExits) {
  count_.Next(SIGTERM);
  clock_.Advance(SignalCount::kRepeat);
  EXPECT_EQ(count_.Next(SIGTERM), SignalMeaning::kExpedite);
  EXPECT_EQ(count_.Next(SIGINT), SignalMeaning::kLeave);
  clock_.Advance(SignalCount::kRepeat);
  EXPECT_EQ(count_.Next(SIGHUP), SignalMeaning::kLeave);
}

TEST_F(SignalCountTest, ARepeatedSigtermIsIgnored) {
  count_.Next(SIGTERM);
  EXPECT_EQ(count_.Next(SIGTERM), SignalMeaning::kNothing);
  clock_.Advance(SignalCount::kRepeat - milliseconds(1));
  EXPECT_EQ(count_.Next(SIGTERM), SignalMeaning::kNothing);
}

TEST_F(SignalCountTest, AConstantlyRepeatedSigtermIsStillHeard) {
  count_.Next(SIGTERM);
  clock_.Advance(SignalCount::kRepeat / 2);
  EXPECT_EQ(count_.Next(SIGTERM), SignalMeaning::kNothing);
  clock_.Advance(SignalCount::kRepeat / 2);
  EXPECT_EQ(count_.Next(SIGTERM), SignalMeaning::kExpedite);
}

TEST_F(SignalCountTest, AClosedTerminalCountsOnce) {
  EXPECT_EQ(count_.Next(SIGHUP), SignalMeaning::kInterrupt);
  clock_.Advance(milliseconds(10));
  EXPECT_EQ(count_.Next(SIGHUP), SignalMeaning::kNothing);
  clock_.Advance(2 * SignalCount::kRepeat);
  EXPECT_EQ(count_.Next(SIGHUP), SignalMeaning::kExpedite);
}

TEST_F(SignalCountTest, ASighupWithASigtermIsIgnored) {
  EXPECT_EQ(count_.Next(SIGTERM), SignalMeaning::kTerminate);
  EXPECT_EQ(count_.Next(SIGHUP), SignalMeaning::kNothing);
  SignalCount other(clock_);
  EXPECT_EQ(other.Next(SIGHUP), SignalMeaning::kInterrupt);
  EXPECT_EQ(other.Next(SIGTERM), SignalMeaning::kNothing);
}

TEST_F(SignalCountTest, ASigintIsNeverTreatedAsARepetition) {
  count_.Next(SIGINT);
  EXPECT_EQ(count_.Next(SIGINT), SignalMeaning::kExpedite);
  SignalCount other(clock_);
  other.Next(SIGHUP);
  EXPECT_EQ(other.Next(SIGINT), SignalMeaning::kExpedite);
}

TEST_F(SignalCountTest, ASigquitPrintsAndDoesNotCount) {
  EXPECT_EQ(count_.Next(SIGQUIT), SignalMeaning::kShow);
  EXPECT_EQ(count_.Next(SIGTERM), SignalMeaning::kTerminate);
  EXPECT_EQ(count_.Next(SIGQUIT), SignalMeaning::kShow);
  EXPECT_EQ(count_.Next(SIGINT), SignalMeaning::kExpedite);
}

// Each in a process of its own. With a real Process: process_test.cc.
class BlockShutdownSignalsDeathTest : public testing::Test {
 protected:
  BlockShutdownSignalsDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  [[noreturn]] static void SendAndHang(std::initializer_list<int> signals) {
    for (const int each : signals) {
      kill(getpid(), each);
      // Another one like it would be the same until it is taken.
      sigset_t pending;
      do {
        sched_yield();
        sigpending(&pending);
      } while (sigismember(&pending, each) == 1);
    }
    for (;;) pause();
  }
};

TEST_F(BlockShutdownSignalsDeathTest, ASignalBeforeOpeningAnythingEndsTheProcess) {
  for (const int each : {SIGTERM, SIGINT, SIGHUP}) {
    EXPECT_EXIT(
        {
          BlockShutdownSignals();
          SendAndHang({each});
        },
        testing::ExitedWithCode(0), "^stopped before anything was opened; exit code 0\n$");
  }
}

TEST_F(BlockShutdownSignalsDeathTest, AThirdSignalWithoutAListenerEndsIt) {
  EXPECT_EXIT(
      {
        BlockShutdownSignals();
        {
          const SignalListener listener([](SignalMeaning) {});
        }
        SendAndHang({SIGINT, SIGHUP, SIGINT});
      },
      testing::ExitedWithCode(6), "^third signal: leaving at once\n$");
}

TEST_F(BlockShutdownSignalsDeathTest, ASigtermGoesBeforeTheSighupSentWithIt) {
  EXPECT_EXIT(
      {
        sigset_t both;
        sigemptyset(&both);
        for (const int each : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&both, each);
        pthread_sigmask(SIG_BLOCK, &both, nullptr);
        const SignalListener listener(
            [](SignalMeaning meaning) { _exit(meaning == SignalMeaning::kTerminate ? 90 : 91); });
        kill(getpid(), SIGTERM);
        kill(getpid(), SIGHUP);
        BlockShutdownSignals();  // Both are pending when somebody takes them.
        for (;;) pause();
      },
      testing::ExitedWithCode(90), "");
}

TEST_F(BlockShutdownSignalsDeathTest, SignalsAreHeardWhileASigquitIsShown) {
  EXPECT_EXIT(
      {
        BlockShutdownSignals();
        std::latch shows(1);
        const SignalListener listener([&shows](SignalMeaning meaning) {
          if (meaning == SignalMeaning::kTerminate) _exit(90);
          shows.count_down();
          for (;;) pause();
        });
        kill(getpid(), SIGQUIT);
        shows.wait();
        SendAndHang({SIGQUIT, SIGTERM});
      },
      testing::ExitedWithCode(90), "");
}

TEST_F(BlockShutdownSignalsDeathTest, AListenerIsThereUntilItHasShown) {
  EXPECT_EXIT(
      {
        BlockShutdownSignals();
        std::latch shows(1);
        std::atomic<int> shown = 0;
        {
          const SignalListener listener([&](SignalMeaning) {
            shows.count_down();
            std::this_thread::sleep_for(milliseconds(50));  // Were it gone by then, it shows.
            shown = 90;
          });
          kill(getpid(), SIGQUIT);
          shows.wait();
        }
        _exit(shown);
      },
      testing::ExitedWithCode(90), "");
}

TEST_F(BlockShutdownSignalsDeathTest, AnIgnoredSignalDoesNotKill) {
  EXPECT_EXIT(
      {
        BlockShutdownSignals();
        for (const int each : {SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGIO,
                               SIGPWR, SIGSTKFLT, SIGXCPU, SIGXFSZ, SIGRTMIN, SIGRTMAX}) {
          raise(each);
        }
        _exit(90);
      },
      testing::ExitedWithCode(90), "^$");
}

TEST_F(BlockShutdownSignalsDeathTest, KeepsTheProgramsOwnHandlers) {
  EXPECT_EXIT(
      {
        const auto mine = [](int) { _exit(91); };
        signal(SIGHUP, mine);
        signal(SIGUSR1, mine);
        BlockShutdownSignals();
        sigset_t blocked;
        pthread_sigmask(SIG_BLOCK, nullptr, &blocked);
        if (sigismember(&blocked, SIGHUP) == 1) _exit(90);
        raise(SIGUSR1);
      },
      testing::ExitedWithCode(91), "^$");
}

TEST_F(BlockShutdownSignalsDeathTest, AListenerWithoutItDiesWithAMessage) {
  EXPECT_DEATH({ const SignalListener listener([](SignalMeaning) {}); },
               "broken precondition: a lifecycle::Process without BlockShutdownSignals");
}

TEST(BlockShutdownSignals, IsUndoneByUnblockShutdownSignals) {
  const auto blocked = [](int signal) {
    sigset_t set;
    pthread_sigmask(SIG_BLOCK, nullptr, &set);
    return sigismember(&set, signal) == 1;
  };
  BlockShutdownSignals();
  EXPECT_TRUE(blocked(SIGTERM));
  EXPECT_TRUE(blocked(SIGINT));
  EXPECT_TRUE(blocked(SIGHUP));
  EXPECT_TRUE(blocked(SIGQUIT));
  UnblockShutdownSignals();
  EXPECT_FALSE(blocked(SIGTERM));
  EXPECT_FALSE(blocked(SIGINT));
  EXPECT_FALSE(blocked(SIGHUP));
  EXPECT_FALSE(blocked(SIGQUIT));
}

}  // namespace
}  // namespace lifecycle
