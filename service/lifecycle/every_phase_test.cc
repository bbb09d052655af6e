// A second signal, and the watchdog, at every point of a shutdown: both come from threads
// of their own, whatever the sequence is in the middle of.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <ostream>
#include <stop_token>
#include <string>
#include <thread>

#include "absl/status/status.h"
#include "service/lifecycle/event.h"
#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/lifecycle/shutdown_request.h"
#include "service/lifecycle/signal_thread.h"
#include "service/lifecycle/testing/ample_budget.h"
#include "service/lifecycle/testing/fake_traffic.h"
#include "service/lifecycle/testing/recording_observer.h"
#include "service/lifecycle/testing/told_order.h"

namespace lifecycle {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using testing::AllOf;
using testing::ContainsRegex;
using testing::ExitedWithCode;

struct Point {
  const char* phase;
  // The method of Traffic that is called, or who else is.
  const char* where;
};

std::ostream& operator<<(std::ostream& out, const Point& point) {
  return out << point.phase << ", " << point.where;
}

// On a busy machine expediting may pass over what would have ended: then it says so.
bool EndsByItself(int status) {
  if (!WIFEXITED(status)) return false;
  const ExitCode code{WEXITSTATUS(status)};
  return code == ExitCode::kClean || code == ExitCode::kForced || code == ExitCode::kCloseFailed;
}

// Writes down in the end what it was told: "told: Serving ... Stopped, exit code 0".
class Teller final : public Observer {
 public:
  void Await(const std::string& event) const { events_.Await(event); }

  void OnEvent(const Event& event) override { events_.OnEvent(event); }
  void OnEnd(const End& end) override {
    std::fprintf(stderr, "told: %s, exit code %d\n", NamesOf(events_.Events()).c_str(),
                 static_cast<int>(end.exit_code));
  }

 private:
  RecordingObserver events_;
};

class EveryPhaseTest : public testing::TestWithParam<Point> {
 protected:
  EveryPhaseTest() {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    BlockShutdownSignals();
  }

  // Stops at SIGTERM, in a process of its own; does `what` when the shutdown is at the point.
  [[noreturn]] void Stop(Clock::Duration watchdog_after,
                         const std::function<void(Process&)>& what) {
    ShutdownBudget budget = AmpleBudget();
    budget.watchdog_after = watchdog_after;
    budget.reserve = std::chrono::seconds(8);  // A busy machine has time for the last words.
    Teller observer;
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
    process.SaveOnShutdown("totals", closes("what saves"));
    process.registry().Register("database", closes("what closes"), {.limit = hours(1)});
    // Before it serves there is no lame duck.
    std::thread([&] {
      observer.Await("Serving");
      kill(getpid(), SIGTERM);
    }).detach();
    _exit(process.ServeUntilShutdown(traffic));
  }
};

TEST_P(EveryPhaseTest, ASecondSignalKeepsOrderAndSavesState) {
  const std::string in_order =
      "told: " + ToldOrder(ShutdownReason::kTerminate, /*served=*/true) + ", exit code ";
  EXPECT_EXIT(
      Stop(hours(10),
           [](Process& process) {
             kill(getpid(), SIGINT);
             // For ever, if it is not taken.
             while (!process.shutdown_request().expedited().stop_requested()) {
               std::this_thread::yield();
             }
           }),
      EndsByItself,
      AllOf(ContainsRegex(in_order), ContainsRegex(" StateSaved Closed Stopped, exit code [03]|"
                                                   " (Save|Close)Failed .*Stopped, exit code 4")));
}

TEST_P(EveryPhaseTest, TheWatchdogEndsAHungShutdownSayingWhere) {
  EXPECT_EXIT(Stop(milliseconds(1000),
                   [](Process&) {
                     for (;;) pause();
                   }),
              ExitedWithCode(5), std::string("stuck in phase ") + GetParam().phase);
}

INSTANTIATE_TEST_SUITE_P(AtEveryPoint, EveryPhaseTest,
                         testing::Values(Point{"LameDuck", "EnterLameDuck"},
                                         Point{"DrainingConnections", "CloseListener"},
                                         Point{"DrainingConnections", "SayGoodbye"},
                                         Point{"DrainingConnections", "AwaitConnectionsGone"},
                                         Point{"DrainingCalls", "BeginShutdown"},
                                         Point{"DrainingCalls", "AwaitCallsFinished"},
                                         Point{"CancellingCalls", "Cancel"},
                                         Point{"StoppingWorkers", "a worker"},
                                         Point{"SavingState", "what saves"},
                                         Point{"ClosingResources", "what closes"}));

}  // namespace
}  // namespace lifecycle
