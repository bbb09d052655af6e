// A second signal, and the watchdog, at every point of a stop: both come from threads
// of their own, whatever the sequence is in the middle of.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <ostream>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "service/lifecycle/exit_code.h"
#include "service/lifecycle/fake_traffic.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/recording_observer.h"
#include "service/lifecycle/signal_thread.h"
#include "service/lifecycle/stop_budget.h"

namespace lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::ExitedWithCode;

struct Point {
  const char* phase;
  // The method of Traffic that is called, or who else is.
  const char* where;
};

std::ostream& operator<<(std::ostream& out, const Point& point) {
  return out << point.phase << ", " << point.where;
}

// On a busy machine a hurry may pass over what would have ended: then it says so.
bool EndsByItself(int status) {
  return WIFEXITED(status) && WEXITSTATUS(status) <= static_cast<int>(ExitCode::kCloseFailed) &&
         WEXITSTATUS(status) != static_cast<int>(ExitCode::kCouldNotStart);
}

class EveryPhaseTest : public testing::TestWithParam<Point> {
 protected:
  EveryPhaseTest() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    BlockStopSignals();
  }

  // Stops at SIGTERM, in a process of its own; does `what` when the stop is at the point.
  [[noreturn]] void Stop(Clock::Duration grace, const std::function<void(Process&)>& what) {
    const StopBudget budget = {.grace = grace,
                               .lame_duck = hours(1),
                               .least_lame_duck = hours(0),
                               .connections = hours(1),
                               .calls = hours(1),
                               .streams = hours(1),
                               .workers = hours(1),
                               .save = hours(1),
                               .close = hours(1)};
    RecordingObserver observer;
    FakeTraffic traffic;
    Process process(budget, observer);
    const auto at = [&](const std::string& where) {
      if (where == GetParam().where) what(process);
    };
    const auto closes = [&at](const std::string& where) {
      return [&at, where](Clock::TimePoint) {
        at(where);
        return absl::OkStatus();
      };
    };
    traffic.on_call = at;
    process.workers().Start("relay", [&](std::stop_token stop) {
      while (!stop.stop_requested()) std::this_thread::yield();
      at("a worker");
    });
    process.SaveOnStop("totals", closes("what saves"));
    process.registry().Register("database", closes("what closes"), {.limit = hours(1)});
    // Before it serves there is no lame duck.
    std::thread([&] {
      observer.Await("Serving");
      kill(getpid(), SIGTERM);
    }).detach();
    _exit(process.ServeUntilStopped(traffic));
  }
};

TEST_P(EveryPhaseTest, ASecondSignalIsTakenAndTheStopStillEndsWell) {
  EXPECT_EXIT(Stop(hours(10),
                   [](Process& process) {
                     kill(getpid(), SIGINT);
                     // For ever, if it is not taken.
                     while (!process.stop_request().hurry().stop_requested()) {
                       std::this_thread::yield();
                     }
                   }),
              EndsByItself, "");
}

TEST_P(EveryPhaseTest, TheWatchdogEndsAStopThatHangsAndSaysWhere) {
  EXPECT_EXIT(Stop(milliseconds(1000),
                   [](Process&) {
                     for (;;) pause();
                   }),
              ExitedWithCode(5), std::string("stuck in phase ") + GetParam().phase);
}

INSTANTIATE_TEST_SUITE_P(
    AtEveryPoint, EveryPhaseTest,
    testing::Values(Point{"LameDuck", "EnterLameDuck"}, Point{"LameDuck", "AwaitQuiet"},
                    Point{"Leaving", "CloseListener"}, Point{"Leaving", "SayGoodbye"},
                    Point{"Leaving", "AwaitConnectionsGone"}, Point{"Draining", "BeginShutdown"},
                    Point{"Draining", "AwaitCallsFinished"}, Point{"Cancelling", "Cancel"},
                    Point{"Working", "a worker"}, Point{"Saving", "what saves"},
                    Point{"Closing", "what closes"}));

}  // namespace
}  // namespace lifecycle
