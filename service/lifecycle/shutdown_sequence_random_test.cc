// Whole stops of random processes: callers, calls, workers, savers and entries that end
// at once, after a random time or never, fail or throw, and drains, a shutdown and a second signal
// at random moments. Whatever meets, the shutdown keeps its order and its budgets, cuts
// off what is not ready and nothing else, and says so.
//
// A failure names its seed; SEED=<seed> runs that one alone, SEEDS=<n> the first n:
//   bazel test --test_env=SEED=42 //service/lifecycle:shutdown_sequence_random_test

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/manual_drain.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/shutdown_request.h"
#include "service/lifecycle/shutdown_sequence.h"
#include "service/lifecycle/task_group.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/lifecycle/testing/random_entries.h"
#include "service/lifecycle/testing/recording_observer.h"
#include "service/lifecycle/testing/seeds.h"
#include "service/lifecycle/testing/simulation.h"
#include "service/lifecycle/testing/told_order.h"
#include "service/lifecycle/traffic.h"

namespace lifecycle {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// Only how long a broken test takes to fail.
constexpr seconds kLimit{20};
// Longer than any budget here.
constexpr Clock::Duration kNever = std::chrono::hours(1);

class Random {
 public:
  explicit Random(unsigned seed) : numbers_(seed) {}

  int Pick(int least, int most) { return std::uniform_int_distribution(least, most)(numbers_); }
  bool OnceIn(int so_many) { return Pick(1, so_many) == 1; }
  milliseconds Budget() { return milliseconds(Pick(50, 3000)); }
  // How long something takes: no time, some, or for ever.
  Clock::Duration Takes() {
    if (OnceIn(2)) return milliseconds(0);
    return OnceIn(3) ? kNever : milliseconds(Pick(1, 3000));
  }
  std::mt19937& numbers() { return numbers_; }

 private:
  std::mt19937 numbers_;
};

// Callers who leave when they leave. Waits instead of being looked at each millisecond.
class RandomTraffic final : public Traffic {
 public:
  explicit RandomTraffic(Random& random)
      : listens_(random.OnceIn(20) ? absl::UnavailableError("no port") : absl::OkStatus()),
        says_goodbye_(random.Takes()),
        connections_go_(random.Takes()),
        calls_end_(random.Takes()),
        ends_(random.Takes()),
        calls_(random.Pick(1, 3)),
        connections_(random.OnceIn(2) ? Departure::kGone : Departure::kSilent),
        unfinished_(random.OnceIn(2)   ? Unfinished{.calls = calls_}
                    : random.OnceIn(2) ? Unfinished{.requests = 1}
                                       : Unfinished{.answers = 1}) {}

  // Calls that run on, so that their server is abandoned.
  bool abandoned() const { return abandoned_; }

  absl::Status Listen() override { return listens_; }
  void OpenListener() override { EXPECT_TRUE(listens_.ok()); }
  void EnterLameDuck() override {
    EXPECT_FALSE(lame_duck_ || closed_);
    lame_duck_ = true;
  }
  void LeaveLameDuck() override {
    EXPECT_TRUE(lame_duck_ && !closed_);
    lame_duck_ = false;
  }
  void CloseListener() override {
    EXPECT_FALSE(closed_);
    closed_ = true;
  }
  void SayGoodbye(Patience& patience, int /*streams*/) override { Await(says_goodbye_, patience); }
  Departure AwaitConnectionsGone(Patience& patience) override {
    return Await(connections_go_, patience) ? connections_ : Departure::kBusy;
  }
  Departure LookAtConnections() override { return Departure::kBusy; }
  bool CloseSilent() override {
    EXPECT_TRUE(closed_ && !shut_down_);
    return true;
  }
  void BeginShutdown() override {
    EXPECT_TRUE(closed_ && !shut_down_);
    shut_down_ = true;
  }
  Unfinished AwaitCallsFinished(Patience& patience) override {
    return Await(calls_end_, patience) ? Unfinished{} : unfinished_;
  }
  bool CallsFinished() override { return false; }
  Unfinished WhatIsUnfinished() const override { return unfinished_; }
  bool Cancel(Patience& patience) override {
    EXPECT_TRUE(shut_down_);
    abandoned_ = !Await(ends_, patience);
    return !abandoned_;
  }
  bool KeepCancelling() override { return false; }
  Load Look() const override { return {}; }
  int TryCallsRunning() const override { return calls_; }

 private:
  static bool Await(Clock::Duration takes, Patience& patience) {
    const Clock::TimePoint end = patience.clock().Now() + takes;
    patience.Pause(takes);
    return patience.clock().Now() >= end;
  }

  const absl::Status listens_;
  const Clock::Duration says_goodbye_, connections_go_, calls_end_, ends_;
  const int calls_;
  const Departure connections_;
  const Unfinished unfinished_;
  bool lame_duck_ = false;
  bool closed_ = false;
  bool shut_down_ = false;
  bool abandoned_ = false;
};

ShutdownBudget RandomBudget(Random& random) {
  ShutdownBudget budget{.lame_duck = random.Budget(),
                        .drain_connections = random.Budget(),
                        .drain_calls = random.Budget(),
                        .cancel_calls = random.Budget(),
                        .stop_workers = random.Budget(),
                        .save_state = random.Budget(),
                        .close_resources = random.Budget(),
                        .reserve = seconds(1)};
  budget.grace = budget.lame_duck + budget.drain_connections + budget.drain_calls +
                 budget.cancel_calls + budget.stop_workers + budget.save_state +
                 budget.close_resources + budget.reserve;
  return budget;
}

struct Worker {
  enum class Kind { kWorks, kEndsEarly, kThrows };
  Kind kind;
  Clock::Duration takes;  // From the request to end to the end.
};

// As the registry told it.
ShutdownRegistry::Closed ClosedOf(const Event& event) {
  absl::StatusCode code = absl::StatusCode::kOk;
  for (const auto some : {absl::StatusCode::kDeadlineExceeded, absl::StatusCode::kInternal,
                          absl::StatusCode::kDataLoss}) {
    if (event.detail.starts_with(absl::StatusCodeToString(some))) code = some;
  }
  return {event.subject, absl::Status(code, event.detail), event.took, event.passed_over};
}

class RandomStop final : private Observer {
 public:
  explicit RandomStop(unsigned seed) : seed_(seed), random_(seed) {
    PlanWorkers();
    PlanSignals();
  }
  ~RandomStop() { simulation_->LetGo(); }

  void Run() {
    StartWorkers();
    if (stop_first_) Do(Action::kStop);
    std::future<ShutdownOutcome> outcome = std::async(std::launch::async, [this] {
      const absl::Status opened = sequence_.Open(traffic_);
      if (opened.ok()) return sequence_.Run();
      request_.Request(ShutdownReason::kInterrupt);
      return sequence_.RollBack(opened);
    });
    const auto limit = std::chrono::steady_clock::now() + kLimit;
    while (outcome.wait_for(milliseconds(0)) != std::future_status::ready) {
      ASSERT_LT(std::chrono::steady_clock::now(), limit) << "it hangs after " << Told();
      if (!GoOn()) std::this_thread::yield();
    }
    Check(outcome.get());
  }

 private:
  enum class Action { kDrain, kUndo, kStop, kExpedite };

  void OnEvent(const Event& event) override {
    observer_.OnEvent(event);
    if (event.phase == Phase::kSavingState) savers_plan_.Told(ClosedOf(event));
    if (event.phase == Phase::kClosingResources) registry_plan_.Told(ClosedOf(event));
  }
  void OnPhase(Phase phase, Clock::TimePoint at, std::optional<Clock::Duration> budget) override {
    observer_.OnPhase(phase, at, budget);
  }

  std::string Told() const { return NamesOf(observer_.Events()); }
  std::string Who(const std::string& who) const {
    return "SEED=" + std::to_string(seed_) + " " + who;
  }

  void PlanWorkers() {
    const int count = random_.Pick(0, 3);
    for (int i = 0; i < count; ++i) {
      constexpr Worker::Kind kKinds[] = {Worker::Kind::kWorks, Worker::Kind::kWorks,
                                         Worker::Kind::kEndsEarly, Worker::Kind::kThrows};
      const Worker::Kind kind = kKinds[random_.Pick(0, 3)];
      const Clock::Duration takes = random_.Takes();
      // Whoever ends early does so at some time.
      workers_plan_.push_back({kind, kind == Worker::Kind::kEndsEarly ? milliseconds(700) : takes});
    }
  }

  void PlanSignals() {
    Clock::TimePoint at = clock_.Now();
    const auto plan = [&](Action action, int most_ms) {
      at += milliseconds(random_.Pick(0, most_ms));
      plan_.push_back({at, action});
    };
    const int drains = random_.Pick(0, 3);
    for (int i = 0; i < drains; ++i) {
      plan(Action::kDrain, 2000);
      if (!random_.OnceIn(3)) plan(Action::kUndo, 4000);
    }
    constexpr ShutdownReason kReasons[] = {ShutdownReason::kTerminate, ShutdownReason::kInterrupt,
                                           ShutdownReason::kFailure};
    reason_ = kReasons[random_.Pick(0, 2)];
    stop_first_ = random_.OnceIn(12);
    if (!stop_first_) plan(Action::kStop, 6000);
    if (random_.OnceIn(3)) plan(Action::kExpedite, 6000);
    // Too late, and to be told so.
    if (random_.OnceIn(4)) plan(random_.OnceIn(2) ? Action::kDrain : Action::kUndo, 3000);
  }

  void StartWorkers() {
    for (std::size_t i = 0; i < workers_plan_.size(); ++i) {
      workers_.Start(std::to_string(i), [this, worker = workers_plan_[i]](std::stop_token stop) {
        simulation_->Enter();
        ++workers_begun_;
        if (worker.kind == Worker::Kind::kEndsEarly) {
          simulation_->Pause(worker.takes);
          return;
        }
        if (!simulation_->PauseUntil(stop)) return;
        EXPECT_EQ(sequence_.phase(), Phase::kStoppingWorkers) << Who("a worker");
        if (!simulation_->Pause(worker.takes)) return;
        if (worker.kind == Worker::Kind::kThrows) throw std::runtime_error("thrown");
      });
    }
  }

  RandomEntries::Options Entries(std::size_t most, bool use_each_other, Phase phase) {
    return {.most = most,
            .use_each_other = use_each_other,
            .expedite = [this] { request_.Expedite(); },
            .expedited = request_.expedited(),
            .on_begun = [this,
                         phase] { EXPECT_EQ(sequence_.phase(), phase) << Who(PhaseName(phase)); }};
  }

  // Does what comes next, once everybody waits. False: somebody runs.
  bool GoOn() {
    const auto next = simulation_->Next(WaitsForARequest() ? 0 : 1, [this] { return AllBegun(); });
    if (!next) return false;
    if (plan_.empty() || plan_.front().first > *next) {
      clock_.Advance(*next - clock_.Now());
      return true;
    }
    const auto [at, action] = plan_.front();
    plan_.pop_front();
    clock_.Advance(std::max(at - clock_.Now(), Clock::Duration::zero()));
    Do(action);
    return true;
  }

  // Where the sequence waits for nothing but somebody's wish, and in no clock.
  bool WaitsForARequest() const {
    if (request_.reason()) return false;
    if (sequence_.phase() == Phase::kServing) return !drain_wanted_;
    return sequence_.drained();
  }

  bool AllBegun() const {
    if (workers_begun_ < workers_plan_.size()) return false;
    if (sequence_.phase() == Phase::kSavingState) return savers_plan_.AllBegun();
    return sequence_.phase() != Phase::kClosingResources || registry_plan_.AllBegun();
  }

  void Do(Action action) {
    switch (action) {
      case Action::kDrain:
        drain_.Request();
        drain_wanted_ = true;
        break;
      case Action::kUndo: {
        // Takes no time.
        auto undo = std::async(std::launch::async, [this] { return drain_.Undo().ok(); });
        ASSERT_EQ(undo.wait_for(kLimit), std::future_status::ready) << Told();
        const bool undone = undo.get();
        EXPECT_TRUE(!undone || !request_.reason()) << Told();
        if (undone) drain_wanted_ = false;
        break;
      }
      case Action::kStop:
        request_.Request(reason_);
        break;
      case Action::kExpedite:
        request_.Expedite();
        break;
    }
  }

  void Check(const ShutdownOutcome& outcome) const {
    const std::vector<Event> events = observer_.Events();
    const bool served = events.front().type == EventType::kServing;
    if (events.front().type == EventType::kCouldNotStart) {
      EXPECT_THAT(Told(), testing::MatchesRegex(ToldOrderOfAFailedStart()));
      EXPECT_EQ(outcome.exit_code, ExitCode::kCouldNotStart);
    } else {
      EXPECT_EQ(served, !stop_first_);
      EXPECT_THAT(Told(), testing::MatchesRegex(ToldOrder(reason_, served)));
      EXPECT_EQ(outcome.exit_code, CodeOf(events)) << Told();
      savers_plan_.Check();
    }
    registry_plan_.Check();
    const bool left = CheckWorkers(events);
    EXPECT_EQ(outcome.abandoned,
              traffic_.abandoned() || left || savers_plan_.AnyLeft() || registry_plan_.AnyLeft())
        << Told();
    CheckTimes(events);
  }

  // What the worst of them leads to.
  static ExitCode CodeOf(const std::vector<Event>& events) {
    const std::map<EventType, ExitCode> codes = {{EventType::kCallsCut, ExitCode::kForced},
                                                 {EventType::kServerAbandoned, ExitCode::kForced},
                                                 {EventType::kWorkerFailed, ExitCode::kForced},
                                                 {EventType::kSaveFailed, ExitCode::kCloseFailed},
                                                 {EventType::kCloseFailed, ExitCode::kCloseFailed}};
    ExitCode code = ExitCode::kClean;
    for (const Event& event : events) {
      const auto found = codes.find(event.type);
      EXPECT_EQ(event.ok(), found == codes.end()) << event.name();
      if (found != codes.end()) code = std::max(code, found->second);
    }
    return code;
  }

  // Whoever ended in the time that there was has ended well. Whether one was left.
  bool CheckWorkers(const std::vector<Event>& events) const {
    std::map<std::string, std::string> failed;
    for (const Event& event : events) {
      if (event.type == EventType::kWorkerFailed) failed[event.subject] = event.detail;
    }
    bool any_left = false;
    const Clock::Duration had = Took(Phase::kStoppingWorkers);
    for (std::size_t i = 0; i < workers_plan_.size(); ++i) {
      const Worker& worker = workers_plan_[i];
      const std::string how = failed[std::to_string(i)];
      const bool left = how.starts_with("DEADLINE_EXCEEDED");
      any_left |= left;
      if (worker.kind == Worker::Kind::kEndsEarly) {
        // With the shutdown at the earliest, it has all the time that came before as well.
        continue;
      }
      EXPECT_TRUE(left ? worker.takes >= had : worker.takes <= had) << i << how;
      if (left) continue;
      EXPECT_EQ(how.empty(), worker.kind == Worker::Kind::kWorks) << i << how;
    }
    return any_left;
  }

  // How long a phase took, the last time.
  Clock::Duration Took(Phase phase) const {
    const auto phases = observer_.Phases();
    Clock::Duration took{};
    for (std::size_t i = 0; i + 1 < phases.size(); ++i) {
      if (phases[i].phase == phase) took = phases[i + 1].at - phases[i].at;
    }
    return took;
  }

  void CheckTimes(const std::vector<Event>& events) const {
    const Clock::TimePoint end = events.back().at;
    EXPECT_LE(end - request_.requested_at(), budget_.grace - budget_.reserve) << Told();
    const bool led_away = Took(Phase::kLameDuck) > Clock::Duration::zero();
    if (reason_ != ShutdownReason::kInterrupt && led_away && !expedited_at_) {
      EXPECT_GE(Took(Phase::kLameDuck), budget_.lame_duck) << Told();
    }
    const auto phases = observer_.Phases();
    for (std::size_t i = 0; i + 1 < phases.size(); ++i) {
      const Clock::TimePoint over = phases[i + 1].at;
      if (phases[i].budget) {
        EXPECT_LE(over, phases[i].at + *phases[i].budget) << PhaseName(phases[i].phase);
      }
      // A phase has two waits at most.
      if (expedited_at_ && over >= *expedited_at_) {
        const Clock::TimePoint since = std::max(phases[i].at, *expedited_at_);
        EXPECT_LE(over, since + 2 * Patience::kExpedited) << PhaseName(phases[i].phase);
      }
    }
  }

  const unsigned seed_;
  Random random_;
  const std::shared_ptr<Simulation> simulation_ = std::make_shared<Simulation>();
  FakeClock& clock_ = simulation_->clock();
  ShutdownBudget budget_ = RandomBudget(random_);
  std::vector<Worker> workers_plan_;
  std::deque<std::pair<Clock::TimePoint, Action>> plan_;
  ShutdownReason reason_ = ShutdownReason::kTerminate;
  bool stop_first_ = false;  // Before anybody is let in.
  bool drain_wanted_ = false;

  ShutdownRequest request_{clock_};
  std::optional<Clock::TimePoint> expedited_at_;
  const std::stop_callback<std::function<void()>> on_hurry_{
      request_.expedited(), [this] { expedited_at_ = clock_.Now(); }};
  ManualDrain drain_{request_};
  RandomTraffic traffic_{random_};
  RecordingObserver observer_;
  ShutdownRegistry savers_;
  ShutdownRegistry registry_;
  TaskGroup workers_;
  std::atomic<std::size_t> workers_begun_{0};
  ShutdownSequence sequence_{
      {request_, drain_, workers_, savers_, registry_}, budget_, clock_, *this};
  RandomEntries savers_plan_{Who("saver"), random_.numbers(), simulation_, savers_,
                             Entries(3, false, Phase::kSavingState)};
  RandomEntries registry_plan_{Who("entry"), random_.numbers(), simulation_, registry_,
                               Entries(8, true, Phase::kClosingResources)};
};

TEST(ShutdownSequence, KeepsOrderAndBudgetsWhateverHappensAtOnce) {
  ForEachSeed(3000, [](unsigned seed) { RandomStop(seed).Run(); });
}

}  // namespace
}  // namespace lifecycle
