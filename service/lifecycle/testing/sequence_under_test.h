#ifndef SERVICE_LIFECYCLE_TESTING_SEQUENCE_UNDER_TEST_H_
#define SERVICE_LIFECYCLE_TESTING_SEQUENCE_UNDER_TEST_H_

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/event.h"
#include "service/lifecycle/manual_drain.h"
#include "service/lifecycle/phase.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/shutdown_request.h"
#include "service/lifecycle/shutdown_sequence.h"
#include "service/lifecycle/task_group.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/lifecycle/testing/fake_traffic.h"
#include "service/lifecycle/testing/recording_observer.h"

namespace lifecycle {

// A shutdown sequence, and who takes part: a server, a worker, a saver, a channel that uses a
// database.
//
// A test sets what is special about them, then runs the sequence, on this thread or on another, and
// reads in `observer_` what happened in which order.
class SequenceUnderTest : public testing::Test {
 protected:
  ~SequenceUnderTest() override { let_go_.set_value(); }

  static ShutdownRegistry::Closer Returns(absl::Status status = absl::OkStatus()) {
    return [status](Clock::TimePoint) { return status; };
  }
  // Does not return before the test is over. Says "<who> hangs".
  ShutdownRegistry::Closer Hangs(const std::string& who) {
    return [this, who, let_go = let_go_future_](Clock::TimePoint) {
      observer_.Note(who + " hangs");
      let_go.wait();
      return absl::OkStatus();
    };
  }
  TaskGroup::Task WorksForEver() {
    return [let_go = let_go_future_](std::stop_token) { let_go.wait(); };
  }
  static TaskGroup::Task WorksUntilStopped() {
    return [](std::stop_token stop) {
      std::mutex mutex;
      std::condition_variable_any never;
      std::unique_lock lock(mutex);
      never.wait(lock, stop, [] { return false; });
    };
  }

  // Fills in those that the test has not.
  void SetTheOthersUp() {
    if (!worker_) worker_ = WorksUntilStopped();
    if (!saver_) saver_ = Returns();
    if (!channel_) channel_ = Returns();
    workers_.Start("relay", worker_);
    savers_.Register("totals", saver_, {.uses = ShutdownRegistry::kUsesNothing});
    registry_.Register("database", Returns());
    registry_.Register("channel", channel_);
    traffic_.on_call = [this](const std::string& method) { observer_.Note(method + "()"); };
  }

  // A shutdown that is requested as soon as the server serves.
  ShutdownOutcome Run(ShutdownReason reason) {
    SetTheOthersUp();
    on_event_["Serving"] = [this, reason] { request_.Request(reason); };
    return RunIt();
  }

  // On a thread of its own, for a test that moves the clock.
  std::future<ShutdownOutcome> Start(ShutdownReason reason) {
    on_event_["Serving"] = [this, reason] { request_.Request(reason); };
    return Start();
  }
  std::future<ShutdownOutcome> Start() {
    SetTheOthersUp();
    return std::async(std::launch::async, [this] { return RunIt(); });
  }

  ShutdownParts Parts() { return {request_, drain_, workers_, savers_, registry_}; }

  ShutdownOutcome RunIt() {
    Reacting observer(*this);
    ShutdownSequence sequence(Parts(), budget_, clock_, observer);
    sequence_ = &sequence;
    EXPECT_TRUE(sequence.Open(traffic_).ok());
    const ShutdownOutcome outcome = sequence.Run();
    EXPECT_EQ(sequence.phase(), Phase::kStopped);
    sequence_ = nullptr;
    return outcome;
  }

  // Lets the time pass in which the sequence waits now.
  void Pass(Clock::Duration time) {
    clock_.AwaitWaiters(1);
    clock_.Advance(time);
  }
  // Until the latest end of a phase.
  void PassTo(Phase phase) { Pass(start_ + budget_.EndOf(phase) - clock_.Now()); }

  // The lines without what the server was asked.
  std::vector<std::string> Told() const {
    std::vector<std::string> told;
    for (const std::string& line : observer_.Lines()) {
      if (!line.ends_with("()") && !line.ends_with(" hangs")) told.push_back(line);
    }
    return told;
  }

  std::string DetailOf(const std::string& name) const {
    for (const Event& event : observer_.Events()) {
      if (event.name() == name) return event.detail;
    }
    return "no such event";
  }

  FakeClock clock_;
  const Clock::TimePoint start_ = clock_.Now();
  // No lame duck, unless a test wants it: it lasts.
  ShutdownBudget budget_ = {.grace = std::chrono::seconds(30),
                            .drain_connections = std::chrono::seconds(9),
                            .drain_calls = std::chrono::seconds(7),
                            .cancel_calls = std::chrono::seconds(2),
                            .stop_workers = std::chrono::seconds(3),
                            .save_state = std::chrono::seconds(4),
                            .close_resources = std::chrono::seconds(5)};
  ShutdownRequest request_{clock_};
  ManualDrain drain_{request_};
  RecordingObserver observer_;
  // What else happens when the event of this name does, on the sequence's thread.
  std::map<std::string, std::function<void()>> on_event_;
  FakeTraffic traffic_;
  std::atomic<ShutdownSequence*> sequence_{nullptr};  // While it runs.
  TaskGroup::Task worker_;
  ShutdownRegistry::Closer saver_;
  ShutdownRegistry::Closer channel_;

 private:
  class Reacting final : public Observer {
   public:
    explicit Reacting(SequenceUnderTest& test) : test_(test) {}
    void OnEvent(const Event& event) override {
      test_.observer_.OnEvent(event);
      const auto reaction = test_.on_event_.find(event.name());
      if (reaction != test_.on_event_.end()) reaction->second();
    }
    void OnPhase(Phase phase, Clock::TimePoint at, std::optional<Clock::Duration> budget) override {
      test_.observer_.OnPhase(phase, at, budget);
    }
    void OnPhaseLimit(Clock::TimePoint at, Clock::Duration left) override {
      test_.observer_.OnPhaseLimit(at, left);
    }

   private:
    SequenceUnderTest& test_;
  };

  std::promise<void> let_go_;
  const std::shared_future<void> let_go_future_ = let_go_.get_future().share();
  ShutdownRegistry savers_;
  ShutdownRegistry registry_;
  TaskGroup workers_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TESTING_SEQUENCE_UNDER_TEST_H_
