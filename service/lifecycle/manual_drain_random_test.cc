// Manual drain that operators ask for and take back, and a shutdown that comes at any
// moment between: whatever meets, the sequence ends, has gone one way, and has
// answered everybody.
//
// Time stands still until a shutdown is requested, so no rule depends on how fast the
// machine is. A failure names its seed; SEED=<seed> runs that one alone:
//   bazel test --test_env=SEED=42 //service/lifecycle:manual_drain_random_test

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <optional>
#include <ostream>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_join.h"
#include "service/lifecycle/shutdown_sequence.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/lifecycle/testing/fake_traffic.h"
#include "service/lifecycle/testing/recording_observer.h"
#include "service/lifecycle/testing/seeds.h"
#include "service/lifecycle/testing/told_order.h"

namespace lifecycle {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Only how long a broken test takes to fail.
constexpr seconds kLimit{20};

struct Stop {
  const char* name;
  ShutdownReason reason;
  bool expedite;
};
std::ostream& operator<<(std::ostream& out, const Stop& stop) { return out << stop.name; }

class Race {
 public:
  explicit Race(unsigned seed) : random_(seed) {
    traffic_.connections = Pick(2) == 0 ? Traffic::Departure::kGone : Traffic::Departure::kBusy;
    traffic_.on_call = [this](const std::string& method) { InTurn(method); };
  }

  void Run(const Stop& stop) {
    std::future<ShutdownOutcome> outcome = std::async(std::launch::async, [this] {
      EXPECT_TRUE(sequence_.Open(traffic_).ok());
      return sequence_.Run();
    });
    std::vector<std::future<void>> operators;
    const std::size_t count = 1 + Pick(2);
    for (std::size_t i = 0; i < count; ++i) {
      operators.push_back(
          std::async(std::launch::async,
                     [this, pause = Pick(40), alone = count == 1] { Operate(pause, alone); }));
    }
    if (Pick(8) != 0) observer_.Await("Serving");
    Yield(Pick(200));
    request_.Request(stop.reason);
    if (stop.expedite) {
      Yield(Pick(100));
      request_.Expedite();
    }
    const auto limit = std::chrono::steady_clock::now() + kLimit;
    while (outcome.wait_for(milliseconds(0)) != std::future_status::ready) {
      ASSERT_LT(std::chrono::steady_clock::now(), limit) << "it hangs after " << Told();
      clock_.Advance(milliseconds(100));
      std::this_thread::yield();
    }
    EXPECT_EQ(outcome.get().exit_code, ExitCode::kClean);
    for (const std::future<void>& each : operators) {
      ASSERT_EQ(each.wait_for(kLimit), std::future_status::ready)
          << "an operator is not answered after " << Told();
    }
    Check(stop);
  }

 private:
  std::size_t Pick(std::size_t of) {
    return std::uniform_int_distribution<std::size_t>(0, of - 1)(random_);
  }

  static void Yield(std::size_t times) {
    for (std::size_t i = 0; i < times; ++i) std::this_thread::yield();
  }

  // Asks for a drain and takes it back, until that is refused or he is tired of it.
  void Operate(std::size_t pause, bool alone) {
    for (int i = 0; i < 20; ++i) {
      const ManualDrain::Id drain = drain_.Request();
      Yield(pause);
      if (!drain_.Undo().ok()) return;
      if (!alone) continue;
      // A phase other than kServing shows that a shutdown was noticed.
      EXPECT_TRUE(sequence_.phase() <= Phase::kServing || request_.reason()) << Told();
      Yield(1);
      EXPECT_TRUE(drain_.Request() != drain || request_.reason()) << "it is another one";
      if (!drain_.Undo().ok()) return;
    }
  }

  // On the sequence's thread.
  void InTurn(const std::string& method) {
    closed_ |= method == "CloseListener";
    const bool enters = method == "EnterLameDuck";
    if (!enters && method != "LeaveLameDuck") return;
    EXPECT_NE(lame_duck_, enters) << Told();
    EXPECT_FALSE(closed_) << Told();
    lame_duck_ = enters;
  }

  std::string Told() const { return absl::StrJoin(observer_.Lines(), " "); }

  // How long the last lame duck lasted at most; unset: there was none.
  std::optional<Clock::Duration> LameDuck() const {
    std::optional<Clock::TimePoint> begin;
    Clock::TimePoint before;
    for (const Event& event : observer_.Events()) {
      if (event.type == EventType::kLameDuckEntered) begin = before;
      if (event.type == EventType::kListenerClosed && begin) return event.at - *begin;
      before = event.at;
    }
    return std::nullopt;
  }

  void Check(const Stop& stop) const {
    const bool terminate = stop.reason == ShutdownReason::kTerminate;
    const bool served = observer_.Lines().front() == "Serving";
    EXPECT_THAT(NamesOf(observer_.Events()), testing::MatchesRegex(ToldOrder(stop.reason, served)));
    if (terminate && !stop.expedite && LameDuck()) {
      EXPECT_GE(*LameDuck(), budget_.lame_duck) << Told();
    }
  }

  std::mt19937 random_;
  FakeClock clock_;
  ShutdownBudget budget_ = {.grace = seconds(20),
                            .lame_duck = seconds(Pick(4)),
                            .drain_connections = seconds(3),
                            .drain_calls = seconds(1),
                            .cancel_calls = seconds(1),
                            .stop_workers = seconds(1),
                            .save_state = seconds(1),
                            .close_resources = seconds(1)};
  ShutdownRequest request_{clock_};
  ManualDrain drain_{request_};
  RecordingObserver observer_;
  FakeTraffic traffic_;
  bool lame_duck_ = false;
  bool closed_ = false;
  TaskGroup workers_;
  ShutdownRegistry savers_;
  ShutdownRegistry registry_;
  ShutdownSequence sequence_{
      {request_, drain_, workers_, savers_, registry_}, budget_, clock_, observer_};
};

class RandomDrain : public testing::TestWithParam<Stop> {};

TEST_P(RandomDrain, EndsCorrectlyWhateverHappensAtOnce) {
  ForEachSeed(1000, [](unsigned seed) { Race(seed).Run(GetParam()); });
}

INSTANTIATE_TEST_SUITE_P(AndAStop, RandomDrain,
                         testing::Values(Stop{"Terminate", ShutdownReason::kTerminate, false},
                                         Stop{"Interrupt", ShutdownReason::kInterrupt, false},
                                         Stop{"SecondSignal", ShutdownReason::kTerminate, true}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace lifecycle
