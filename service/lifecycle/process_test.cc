#include "service/lifecycle/process.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/testing/ample_budget.h"
#include "service/lifecycle/testing/fake_traffic.h"
#include "service/lifecycle/testing/recording_observer.h"
#include "tests/common/eventually.h"
#include "tests/common/sanitized.h"

namespace lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::ExitedWithCode;
using testing::Not;

[[noreturn, gnu::noinline]] void HangForEver() {
  for (;;) pause();
}

[[gnu::noinline]] void ThrowOutOfRange() { static_cast<void>(std::vector<int>().at(1)); }

ShutdownRegistry::Closer Returns() {
  return [](Clock::TimePoint) { return absl::OkStatus(); };
}

ShutdownRegistry::Closer Hangs() {
  return [](Clock::TimePoint) -> absl::Status { HangForEver(); };
}

void Send(int signal) { kill(getpid(), signal); }

void Await(std::stop_token token) {
  while (!token.stop_requested()) std::this_thread::yield();
}

// Something in main that is destroyed when main returns.
struct OfMain {
  ~OfMain() { _exit(99); }
};

struct HangsInItsDestructor {
  ~HangsInItsDestructor() { HangForEver(); }
};

class ProcessTest : public testing::Test {
 protected:
  ProcessTest() { BlockShutdownSignals(); }

  RecordingObserver observer_;
  FakeTraffic traffic_;
};

TEST_F(ProcessTest, ServesUntilShutdownAndClosesInOrder) {
  Process process(AmpleBudget(), observer_);
  process.registry().Register("database", Returns());
  process.registry().Register("channel", Returns());
  process.SaveOnShutdown("totals", Returns());
  process.workers().Start("relay", [](std::stop_token stop) { Await(stop); });
  std::future<int> code =
      std::async(std::launch::async, [&] { return process.ServeUntilShutdown(traffic_); });
  observer_.Await("Serving");
  process.shutdown_request().Request(ShutdownReason::kTerminate);
  EXPECT_EQ(code.get(), static_cast<int>(ExitCode::kClean));
  EXPECT_THAT(observer_.Lines(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "StateSaved totals", "Closed channel",
                          "Closed database", "Stopped"));
}

TEST_F(ProcessTest, ReportsItsEndOnceWithTheCalls) {
  Process process(AmpleBudget(), observer_);
  process.registry().Register("database",
                              [](Clock::TimePoint) { return absl::DataLossError("disk full"); });
  traffic_.tally = {.methods = {{.name = "/a.B/C", .finished = 7}}, .streams_ended = 2};
  process.shutdown_request().Request(ShutdownReason::kTerminate);
  process.shutdown_request().Expedite();
  process.ServeUntilShutdown(traffic_);
  const std::vector<End> ends = observer_.Ends();
  ASSERT_EQ(ends.size(), 1U);
  EXPECT_EQ(ends[0].exit_code, ExitCode::kCloseFailed);
  EXPECT_EQ(ends[0].reason, "terminate");
  EXPECT_TRUE(ends[0].expedited);
  EXPECT_EQ(ends[0].requested_at, process.shutdown_request().requested_at());
  EXPECT_EQ(ends[0].budget.grace, hours(8));
  EXPECT_EQ(ends[0].calls.streams_ended, 2);
  ASSERT_EQ(ends[0].calls.methods.size(), 1U);
  EXPECT_EQ(ends[0].calls.methods[0].finished, 7);
}

TEST_F(ProcessTest, DrainsWithoutALameDuckAfterATakeover) {
  Process process(AmpleBudget(), observer_);
  std::future<int> code =
      std::async(std::launch::async, [&] { return process.ServeUntilShutdown(traffic_); });
  observer_.Await("Serving");
  traffic_.handed_over("process 7");
  EXPECT_EQ(code.get(), static_cast<int>(ExitCode::kClean));
  EXPECT_THAT(observer_.Lines(), Not(testing::Contains("LameDuckEntered")));
  EXPECT_THAT(observer_.Events()[1].detail, testing::StartsWith("handover: to process 7, "));
  EXPECT_EQ(observer_.Ends()[0].reason, "handover");
}

TEST_F(ProcessTest, IsAliveUnlessItsServerServesNobody) {
  {
    Process process(AmpleBudget(), observer_);
    EXPECT_EQ(observer_.process(), &process);
    EXPECT_TRUE(process.Alive());  // It starts.
    std::future<int> code =
        std::async(std::launch::async, [&] { return process.ServeUntilShutdown(traffic_); });
    observer_.Await("Serving");
    EXPECT_TRUE(process.Alive());
    traffic_.answers = false;
    EXPECT_FALSE(process.Alive());
    process.shutdown_request().Request(ShutdownReason::kInterrupt);
    EXPECT_TRUE(process.Alive());  // It ends, at the latest by its watchdog.
    code.get();
    EXPECT_TRUE(process.Alive());
  }
  EXPECT_EQ(observer_.process(), nullptr);
}

TEST_F(ProcessTest, AShutdownBeforeServingSkipsTheLameDuck) {
  Process process(AmpleBudget(), observer_);
  process.shutdown_request().Request(ShutdownReason::kTerminate);
  EXPECT_EQ(process.ServeUntilShutdown(traffic_), static_cast<int>(ExitCode::kClean));
  EXPECT_THAT(observer_.Lines(), ElementsAre("ShutdownRequested", "ListenerClosed", "GoodbyeSaid",
                                             "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                                             "ServerStopped", "WorkersStopped", "Stopped"));
  EXPECT_EQ(observer_.Events()[0].phase, Phase::kStarting);
}

TEST_F(ProcessTest, CannotStartWithoutLettingCallersIn) {
  Process process(AmpleBudget(), observer_);
  process.registry().Register("database", Returns());
  traffic_.listens = absl::UnavailableError("no port file");
  EXPECT_EQ(process.ServeUntilShutdown(traffic_), static_cast<int>(ExitCode::kCouldNotStart));
  EXPECT_THAT(observer_.Lines(), ElementsAre("CouldNotStart", "WorkersStopped", "Closed database"));
  EXPECT_EQ(observer_.Ends()[0].why, "no port file");
}

TEST_F(ProcessTest, ReleasesAnUndoWhenItCouldNotStart) {
  Process process(AmpleBudget(), observer_);
  process.manual_drain().Request();
  std::future<absl::Status> undone =
      std::async(std::launch::async, [&] { return process.manual_drain().Undo(); });
  process.manual_drain().AwaitUndo(Clock::Steady(), Clock::TimePoint::max());
  process.registry().Register("operators", [&](Clock::TimePoint) {
    return absl::IsFailedPrecondition(undone.get()) ? absl::OkStatus()
                                                    : absl::InternalError("it was taken back");
  });
  process.CouldNotStart(absl::UnavailableError("port in use"));
  EXPECT_THAT(observer_.Lines(),
              ElementsAre("CouldNotStart", "WorkersStopped", "Closed operators"));
}

TEST_F(ProcessTest, ShutsDownGracefullyWhenAWorkerFails) {
  Process process(AmpleBudget(), observer_);
  process.workers().Start("relay", [this](std::stop_token) {
    observer_.Await("Serving");
    throw std::runtime_error("no disk");
  });
  EXPECT_EQ(process.ServeUntilShutdown(traffic_), static_cast<int>(ExitCode::kForced));
  EXPECT_THAT(observer_.Lines(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkerFailed relay", "Stopped"));
  EXPECT_THAT(observer_.Events()[1].detail,
              testing::StartsWith("failure: relay INTERNAL: threw: no disk, lame_duck "));
  EXPECT_EQ(observer_.Ends()[0].reason, "failure");
}

TEST_F(ProcessTest, SavesEverythingAtOnce) {
  Process process(AmpleBudget(), observer_);
  std::barrier meeting(2);
  for (const std::string name : {"totals", "offsets"}) {
    process.SaveOnShutdown(name, [&](Clock::TimePoint) {
      meeting.arrive_and_wait();
      return absl::OkStatus();
    });
  }
  process.shutdown_request().Request(ShutdownReason::kInterrupt);
  EXPECT_EQ(process.ServeUntilShutdown(traffic_), static_cast<int>(ExitCode::kClean));
}

TEST_F(ProcessTest, NamesTheWorkersThatHoldAShutdown) {
  Process process(AmpleBudget(), observer_);
  std::promise<void> held;
  process.workers().Start("relay", [&](std::stop_token) { held.get_future().wait(); });
  process.workers().Start("obedient", [](std::stop_token stop) { Await(stop); });
  std::future<int> code =
      std::async(std::launch::async, [&] { return process.ServeUntilShutdown(traffic_); });
  observer_.Await("Serving");
  EXPECT_EQ(process.InFlight(), "");  // They are at work.
  process.shutdown_request().Request(ShutdownReason::kInterrupt);
  EXPECT_TRUE(testkit::Eventually([&] { return process.InFlight() == "workers: relay"; }));
  held.set_value();
  EXPECT_EQ(code.get(), static_cast<int>(ExitCode::kClean));
  EXPECT_EQ(process.InFlight(), "");
}

TEST_F(ProcessTest, ReturnsTheCodeOfAFailedClose) {
  Process process(AmpleBudget(), observer_);
  process.registry().Register("database",
                              [](Clock::TimePoint) { return absl::DataLossError("disk full"); });
  process.shutdown_request().Request(ShutdownReason::kInterrupt);
  EXPECT_EQ(process.ServeUntilShutdown(traffic_), static_cast<int>(ExitCode::kCloseFailed));
}

TEST_F(ProcessTest, AFailedStartClosesWhatWasOpened) {
  Process process(AmpleBudget(), observer_);
  process.registry().Register("database", Returns());
  process.registry().Register("channel",
                              [](Clock::TimePoint) { return absl::DataLossError("disk full"); });
  process.workers().Start("good", [](std::stop_token stop) { Await(stop); });
  process.workers().Start("bad", [](std::stop_token) { throw std::runtime_error("no disk"); });
  EXPECT_EQ(process.CouldNotStart(absl::UnavailableError("port in use")),
            static_cast<int>(ExitCode::kCouldNotStart));
  EXPECT_THAT(observer_.Lines(), ElementsAre("CouldNotStart", "WorkerFailed bad",
                                             "CloseFailed channel", "Closed database"));
  ASSERT_EQ(observer_.Ends().size(), 1U);
  EXPECT_EQ(observer_.Ends()[0].exit_code, ExitCode::kCouldNotStart);
  EXPECT_EQ(observer_.Ends()[0].reason, "could not start");
  EXPECT_EQ(observer_.Ends()[0].why, "port in use");
  EXPECT_EQ(observer_.Phases().size(), 3U);  // StoppingWorkers, ClosingResources, Stopped
}

// What ends the process: each in a process of its own.
class ProcessDeathTest : public ProcessTest {
 protected:
  ProcessDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }

  int Run(const ShutdownBudget& budget, void (*set_up)(Process&, FakeTraffic&)) {
    Process process(budget, observer_);
    set_up(process, traffic_);
    return process.ServeUntilShutdown(traffic_);
  }
};

TEST_F(ProcessDeathTest, ShutsDownCleanlyAtSigterm) {
  EXPECT_EXIT(_exit(Run(AmpleBudget(), [](Process&, FakeTraffic&) { Send(SIGTERM); })),
              ExitedWithCode(0), "");
}

TEST_F(ProcessDeathTest, SighupShutsDownWithoutALameDuck) {
  EXPECT_EXIT(
      {
        const int code = Run(AmpleBudget(), [](Process& process, FakeTraffic& traffic) {
          traffic.on_call = [](const std::string& method) {
            if (method == "EnterLameDuck") _exit(90);
          };
          Send(SIGHUP);
          Await(process.shutdown_request().requested());
        });
        _exit(code);
      },
      ExitedWithCode(0), "");
}

TEST_F(ProcessDeathTest, SigquitShowsCallsInFlightAndServingContinues) {
  EXPECT_EXIT(_exit(Run(AmpleBudget(),
                        [](Process& process, FakeTraffic& traffic) {
                          traffic.calls_that_do_not_finish = 1;
                          traffic.tally = {.methods = {{.name = "/a.B/C", .left = 1}}};
                          traffic.on_call = [&](const std::string& method) {
                            if (method != "BeginShutdown") return;
                            traffic.tallied = 0;
                            Send(SIGQUIT);
                            Send(SIGQUIT);
                            traffic.tallied.wait(0);
                            Send(SIGINT);  // Makes the shutdown end.
                            Await(process.shutdown_request().expedited());
                          };
                          Send(SIGTERM);
                        })),
              ExitedWithCode(3),
              "in flight, in phase DrainingCalls: calls running: 1 .1 /a.B/C.\n(.*\n)*thread ");
}

TEST_F(ProcessDeathTest, RollsBackAStartThatThrows) {
  EXPECT_EXIT(
      {
        // Nobody catches it, as in main(). In a noexcept function clang destroys the process first.
        std::thread main([&] {
          Process process(AmpleBudget(), observer_);
          process.registry().Register("database", [](Clock::TimePoint) {
            std::fputs("database closed\n", stderr);
            return absl::OkStatus();
          });
          static_cast<void>(std::vector<int>().at(1));
        });
        main.join();
      },
      ExitedWithCode(2), "uncaught exception: .*\n(.*\n)*database closed\n");
}

TEST_F(ProcessDeathTest, AnExceptionEndingAThreadIsABug) {
  EXPECT_EXIT(Run(AmpleBudget(),
                  [](Process&, FakeTraffic& traffic) {
                    traffic.on_call = [](const std::string& method) {
                      if (method != "CloseListener") return;
                      std::thread(ThrowOutOfRange).join();
                    };
                    Send(SIGTERM);
                  }),
              ExitedWithCode(7),
              "^unplanned end: uncaught exception: .*\n"
              "thread .*\n(    .*\n)*    .*ThrowOutOfRange");
}

TEST_F(ProcessDeathTest, ExitWhileServingIsABug) {
  EXPECT_EXIT(Run(AmpleBudget(),
                  [](Process&, FakeTraffic& traffic) {
                    traffic.on_call = [](const std::string& method) {
                      if (method != "CloseListener") return;
                      std::thread([] { std::exit(0); }).join();
                    };
                    Send(SIGTERM);
                  }),
              ExitedWithCode(7), "^unplanned end: exit.. was called while main was running\n");
}

TEST_F(ProcessDeathTest, SaysSoWhenMainReturnsWithoutServing) {
  EXPECT_EXIT({ Process process(AmpleBudget(), observer_); }, ExitedWithCode(7),
              "main.. returned without ServeUntilShutdown.. or CouldNotStart");
}

TEST_F(ProcessDeathTest, SaysSoWhenMainServesTwice) {
  EXPECT_EXIT(
      {
        Process process(AmpleBudget(), observer_);
        process.shutdown_request().Request(ShutdownReason::kInterrupt);
        process.ServeUntilShutdown(traffic_);
        process.ServeUntilShutdown(traffic_);
      },
      ExitedWithCode(7), "a process serves once");
}

// For a shutdown that does all it must, also where that is slow, before the watchdog bites.
constexpr milliseconds kEnough{testkit::kSanitized ? 5000 : 1000};
constexpr ShutdownBudget kShortGrace{.grace = kEnough + milliseconds(500),
                                     .reserve = milliseconds(200)};

TEST_F(ProcessDeathTest, TheWatchdogEndsAHangingStaticDestructor) {
  EXPECT_EXIT(
      {
        {
          Process process(kShortGrace, observer_);
          process.shutdown_request().Request(ShutdownReason::kInterrupt);
          process.ServeUntilShutdown(traffic_);
        }
        static const HangsInItsDestructor hanging;
        std::exit(0);
      },
      ExitedWithCode(5), "stuck after main; exit code 5\n");
}

TEST_F(ProcessDeathTest, IsExpeditedByTheSecondSignal) {
  EXPECT_EXIT(_exit(Run(AmpleBudget(),
                        [](Process&, FakeTraffic& traffic) {
                          // Would wait for an hour.
                          traffic.calls_that_do_not_finish = 1;
                          traffic.on_call = [](const std::string& method) {
                            if (method == "AwaitCallsFinished") Send(SIGINT);
                          };
                          Send(SIGTERM);
                        })),
              ExitedWithCode(3), "");
}

// A person at a terminal wants less waiting than whatever began it.
TEST_F(ProcessDeathTest, IsExpeditedByTheFirstInterruptWhenNoSignalBeganIt) {
  EXPECT_EXIT(_exit(Run(AmpleBudget(),
                        [](Process& process, FakeTraffic& traffic) {
                          // Would wait for an hour.
                          traffic.calls_that_do_not_finish = 1;
                          traffic.on_call = [](const std::string& method) {
                            if (method == "AwaitCallsFinished") Send(SIGINT);
                          };
                          process.shutdown_request().Request(ShutdownReason::kFailure);
                        })),
              ExitedWithCode(3), "");
}

TEST_F(ProcessDeathTest, ExitsAtOnceAtTheThirdSignal) {
  EXPECT_EXIT(Run(AmpleBudget(),
                  [](Process& process, FakeTraffic&) {
                    Send(SIGINT);
                    Await(process.shutdown_request().requested());
                    Send(SIGINT);
                    Await(process.shutdown_request().expedited());
                    Send(SIGINT);
                    HangForEver();
                  }),
              ExitedWithCode(6),
              "^third signal: leaving at once, nothing more is saved or closed\n$");
}

// Every phase is over at once, and the watchdog waits.
constexpr ShutdownBudget kNoTime{.grace = seconds(60), .reserve = seconds(60)};

TEST_F(ProcessDeathTest, DestroysNothingWhenACallDoesNotEnd) {
  EXPECT_EXIT(
      {
        OfMain of_main;
        Run(kNoTime, [](Process& process, FakeTraffic& traffic) {
          traffic.ends = false;
          process.shutdown_request().Request(ShutdownReason::kInterrupt);
        });
      },
      ExitedWithCode(3), "");
}

TEST_F(ProcessDeathTest, DestroysNothingWhenAWorkerDoesNotEnd) {
  EXPECT_EXIT(
      {
        OfMain of_main;
        Run(kNoTime, [](Process& process, FakeTraffic&) {
          process.workers().Start("relay", [](std::stop_token) { HangForEver(); });
          process.shutdown_request().Request(ShutdownReason::kInterrupt);
        });
      },
      ExitedWithCode(3), "");
}

TEST_F(ProcessDeathTest, DestroysNothingWhenACloserDoesNotReturn) {
  EXPECT_EXIT(
      {
        OfMain of_main;
        Run(kNoTime, [](Process& process, FakeTraffic&) {
          process.registry().Register("database", Hangs());
          process.shutdown_request().Request(ShutdownReason::kInterrupt);
        });
      },
      ExitedWithCode(4), "");
}

TEST_F(ProcessDeathTest, DestroysNothingAfterACloserGaveUp) {
  EXPECT_EXIT(
      {
        OfMain of_main;
        Run(kNoTime, [](Process& process, FakeTraffic&) {
          process.registry().Register("pool", [](Clock::TimePoint) {
            return absl::DeadlineExceededError("work is still running");
          });
          process.shutdown_request().Request(ShutdownReason::kInterrupt);
        });
      },
      ExitedWithCode(4), "");
}

TEST_F(ProcessDeathTest, DestroysNothingWhenARollBackHangs) {
  EXPECT_EXIT(
      {
        OfMain of_main;
        Process process(kNoTime, observer_);
        process.registry().Register("database", Hangs());
        process.CouldNotStart(absl::UnavailableError("port in use"));
      },
      ExitedWithCode(2), "");
}

// No phase is ever over, but the watchdog bites soon, and has time then.
ShutdownBudget Short() {
  ShutdownBudget budget = AmpleBudget();
  budget.watchdog_after = kEnough;
  budget.reserve = seconds(10);
  return budget;
}

TEST_F(ProcessDeathTest, WatchdogNamesTheRunningCalls) {
  EXPECT_EXIT(
      Run(Short(),
          [](Process& process, FakeTraffic& traffic) {
            traffic.calls_that_do_not_finish = 7;
            traffic.tally = {.methods = {{.name = "", .left = 2},
                                         {.name = "/a.B/C", .finished = 4, .left = 1},
                                         {.name = "/a.B/D", .finished = 3},
                                         {.name = "/a.B/E", .left = 4}}};
            process.shutdown_request().Request(ShutdownReason::kInterrupt);
          }),
      ExitedWithCode(5),
      "^watchdog: the shutdown has spent its grace of 8h; stuck in phase DrainingCalls; exit "
      "code 5\n(.*\n)*watchdog: calls running: 7 .2 others, 1 /a.B/C, 4 /a.B/E.\n$");
}

TEST_F(ProcessDeathTest, WatchdogNamesWhatDoesNotClose) {
  EXPECT_EXIT(
      Run(Short(),
          [](Process& process, FakeTraffic&) {
            process.registry().Register("database", Hangs());
            process.shutdown_request().Request(ShutdownReason::kInterrupt);
          }),
      ExitedWithCode(5),
      "stuck in phase ClosingResources; exit code 5\n(.*\n)*watchdog: closing: database\n$");
}

TEST_F(ProcessDeathTest, WatchdogNamesWhatDoesNotSave) {
  EXPECT_EXIT(Run(Short(),
                  [](Process& process, FakeTraffic&) {
                    process.SaveOnShutdown("totals", Hangs());
                    process.shutdown_request().Request(ShutdownReason::kInterrupt);
                  }),
              ExitedWithCode(5),
              "stuck in phase SavingState; exit code 5\n(.*\n)*watchdog: saving: totals\n$");
}

TEST_F(ProcessDeathTest, WatchdogShowsWhereEachThreadIs) {
  EXPECT_EXIT(Run(Short(),
                  [](Process& process, FakeTraffic&) {
                    process.registry().Register("database", Hangs());
                    process.shutdown_request().Request(ShutdownReason::kInterrupt);
                  }),
              ExitedWithCode(5),
              "exit code 5\n(.*\n)*thread .*\n(.*\n)*.*HangForEver(.*\n)*watchdog: closing");
}

TEST_F(ProcessDeathTest, TheWatchdogEndsAHangingServerCall) {
  EXPECT_EXIT(Run(Short(),
                  [](Process& process, FakeTraffic& traffic) {
                    traffic.on_call = [](const std::string& method) {
                      if (method == "BeginShutdown") HangForEver();
                    };
                    process.shutdown_request().Request(ShutdownReason::kInterrupt);
                  }),
              ExitedWithCode(5), "stuck in phase DrainingCalls; exit code 5\n");
}

TEST_F(ProcessDeathTest, TheWatchdogEndsAHangingStart) {
  EXPECT_EXIT(Run(Short(),
                  [](Process&, FakeTraffic&) {
                    Send(SIGTERM);
                    HangForEver();
                  }),
              ExitedWithCode(5), "stuck in phase Starting; exit code 5\n");
}

TEST_F(ProcessDeathTest, TheWatchdogEndsAHangingDestructorOfMain) {
  EXPECT_EXIT(
      {
        Process process(kShortGrace, observer_);
        process.shutdown_request().Request(ShutdownReason::kInterrupt);
        process.ServeUntilShutdown(traffic_);
        HangForEver();
      },
      ExitedWithCode(5), "stuck after the shutdown, in main; exit code 5\n");
}

TEST_F(ProcessDeathTest, TheWatchdogEndsAHangingFailedStart) {
  EXPECT_EXIT(
      {
        Process process(Short(), observer_);
        process.CouldNotStart(absl::UnavailableError("port in use"));
        HangForEver();
      },
      ExitedWithCode(5), "stuck after the shutdown, in main; exit code 5\n");
}

// stderr is a terminal that still has some room, and whose reader has stopped: whoever
// asks is told that it takes something, and who then writes it waits for ever.
void HaveAStderrThatBlocks() {
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) _exit(90);
  const int end = open(ptsname(terminal), O_RDWR | O_NOCTTY);
  termios raw{};
  tcgetattr(end, &raw);
  cfmakeraw(&raw);
  tcsetattr(end, TCSANOW, &raw);
  const std::string kilobyte(1024, '.');
  for (int i = 0; i < 13; ++i) {
    if (write(end, kilobyte.data(), kilobyte.size()) != 1024) _exit(91);
  }
  pollfd out{end, POLLOUT, 0};
  if (poll(&out, 1, 0) != 1) _exit(92);
  dup2(end, STDERR_FILENO);
}

TEST_F(ProcessDeathTest, TheWatchdogEndsHangingLastWords) {
  if (access("/dev/ptmx", W_OK) != 0) GTEST_SKIP() << "no terminal is to be had here";
  EXPECT_EXIT(Run(Short(),
                  [](Process& process, FakeTraffic&) {
                    HaveAStderrThatBlocks();
                    process.registry().Register(std::string(4000, 'x'), Hangs());
                    process.shutdown_request().Request(ShutdownReason::kInterrupt);
                  }),
              ExitedWithCode(5), "");
}

TEST_F(ProcessDeathTest, TheThirdSignalEndsAHangingReport) {
  struct Hanging final : Observer {
    void OnEvent(const Event&) override {}
    void OnEnd(const End&) override { HangForEver(); }
  };
  EXPECT_EXIT(
      {
        Hanging observer;
        ShutdownBudget budget = AmpleBudget();
        budget.reserve = seconds(1);
        Process process(budget, observer);
        Send(SIGINT);
        Await(process.shutdown_request().requested());
        Send(SIGINT);
        Await(process.shutdown_request().expedited());
        Send(SIGINT);
        HangForEver();
      },
      ExitedWithCode(6), "");
}

}  // namespace
}  // namespace lifecycle
