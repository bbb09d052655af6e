// Closes random graphs of entries that return, fail, throw or hang, and are
// hurried or not, and checks what shutdown_registry.h guarantees of every one.
//
// A failure names its seed; SEED=<seed> runs that one alone, SEEDS=<n> the first n:
//   bazel test --test_env=SEED=42 //service/lifecycle:shutdown_registry_random_test

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "service/lifecycle/shutdown_registry.h"

namespace lifecycle {
namespace {

using std::chrono::milliseconds;

enum class Kind { kReturns, kFails, kThrows, kHurries, kHangs, kForgotten };

struct Plan {
  Kind kind;
  std::vector<std::size_t> uses;
  Clock::Duration limit;
};

// Time stands still while anything runs that will return, and jumps to the end of
// the wait when nothing but hanging closers is left to wait for. So no outcome
// depends on how fast the machine is.
class JumpingClock final : public Clock {
 public:
  explicit JumpingClock(std::function<bool()> only_hanging)
      : only_hanging_(std::move(only_hanging)) {}

  TimePoint Now() const override { return now_; }
  bool WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed,
                 TimePoint deadline, std::stop_token interrupt,
                 const std::function<bool()>& done) override {
    if (done()) return true;
    if (!only_hanging_()) {
      changed.wait(lock, std::move(interrupt), done);
    } else if (!interrupt.stop_requested()) {
      now_ = std::max(Now(), deadline);
    }
    return done();
  }

 private:
  const std::function<bool()> only_hanging_;
  std::atomic<TimePoint> now_{TimePoint(std::chrono::hours(1))};
};

class Round {
 public:
  explicit Round(unsigned seed) : seed_(seed), random_(seed) {
    const std::size_t count = Pick(0, 12);
    for (std::size_t index = 0; index < count; ++index) Register(index);
    for (std::size_t index = 0; index < count; ++index) {
      if (plans_[index].kind != Kind::kForgotten) continue;
      registry_.Forget(handles_[index]);
      told_[index] = true;
    }
  }
  ~Round() { let_go_.set_value(); }

  void Run() {
    const Clock::TimePoint start = clock_.Now();
    const Clock::Duration budget = milliseconds(Pick(50, 5000));
    Patience patience(clock_, budget, shared_->hurry.get_token());
    registry_.CloseAll(patience, [this](const ShutdownRegistry::Closed& closed) { Told(closed); });
    EXPECT_LE(clock_.Now(), start + budget);
    EXPECT_LE(clock_.Now(), patience.deadline());
    for (std::size_t index = 0; index < plans_.size(); ++index) {
      EXPECT_TRUE(told_[index]) << index;
      const int calls = plans_[index].kind == Kind::kForgotten ? 0 : 1;
      // One that hangs may have been passed over before its thread came to run.
      if (plans_[index].kind == Kind::kHangs) continue;
      EXPECT_EQ(shared_->calls[index], calls) << index;
    }
  }

 private:
  // What closers use: those that hang use it also when the round is over.
  struct Shared {
    std::atomic<int> calls[16] = {};
    std::stop_source hurry;
  };

  std::size_t Pick(std::size_t least, std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(least, most)(random_);
  }

  void Register(std::size_t index) {
    // Half of all closers simply return.
    constexpr Kind kKinds[] = {Kind::kReturns, Kind::kReturns,  Kind::kReturns, Kind::kReturns,
                               Kind::kFails,   Kind::kThrows,   Kind::kHangs,   Kind::kHangs,
                               Kind::kHurries, Kind::kForgotten};
    Plan plan{kKinds[Pick(0, std::size(kKinds) - 1)], {}, milliseconds(Pick(1, 2000))};
    ShutdownRegistry::Options options{.limit = plan.limit};
    if (Pick(0, 4) == 0) {
      for (std::size_t used = 0; used < index; ++used) plan.uses.push_back(used);
    } else {
      options.uses.emplace();
      for (std::size_t used = 0; used < index; ++used) {
        if (Pick(0, 2) != 0) continue;
        plan.uses.push_back(used);
        options.uses->push_back(handles_[used]);
      }
    }
    plans_.push_back(plan);
    told_.push_back(false);
    handles_.push_back(
        registry_.Register(std::to_string(index),
                           plan.kind == Kind::kHangs ? Hanging(index) : Returning(index, plan.kind),
                           std::move(options)));
  }

  ShutdownRegistry::Closer Hanging(std::size_t index) {
    return [index, shared = shared_, let_go = let_go_future_](Clock::TimePoint) {
      ++shared->calls[index];
      let_go.wait();
      return absl::OkStatus();
    };
  }

  ShutdownRegistry::Closer Returning(std::size_t index, Kind kind) {
    return [this, index, kind](Clock::TimePoint deadline) -> absl::Status {
      ++shared_->calls[index];
      EXPECT_GT(deadline, clock_.Now()) << index << " had no turn, SEED=" << seed_;
      EXPECT_LE(deadline, clock_.Now() + plans_[index].limit) << index << ", SEED=" << seed_;
      if (kind == Kind::kThrows) throw std::runtime_error("thrown");
      if (kind == Kind::kFails) return absl::DataLossError("failed");
      if (kind == Kind::kHurries) shared_->hurry.request_stop();
      return absl::OkStatus();
    };
  }

  void Told(const ShutdownRegistry::Closed& closed) {
    const std::size_t index = std::stoul(closed.name);
    const Kind kind = plans_[index].kind;
    EXPECT_FALSE(told_[index]) << index << " is told twice, or was forgotten";
    EXPECT_TRUE(UsersTold(index)) << index << " was closed while it was used";
    EXPECT_EQ(closed.passed_over, kind == Kind::kHangs) << index;
    EXPECT_EQ(closed.status.code(), kind == Kind::kHangs    ? absl::StatusCode::kDeadlineExceeded
                                    : kind == Kind::kThrows ? absl::StatusCode::kInternal
                                    : kind == Kind::kFails  ? absl::StatusCode::kDataLoss
                                                            : absl::StatusCode::kOk)
        << index;
    EXPECT_LE(closed.took, plans_[index].limit) << index;
    told_[index] = true;
  }

  bool UsersTold(std::size_t index) const {
    for (std::size_t user = index + 1; user < plans_.size(); ++user) {
      const std::vector<std::size_t>& uses = plans_[user].uses;
      if (!told_[user] && std::find(uses.begin(), uses.end(), index) != uses.end()) return false;
    }
    return true;
  }

  // Of the entries whose turn it is by the guarantees, all hang.
  bool OnlyHanging() const {
    for (std::size_t index = 0; index < plans_.size(); ++index) {
      if (!told_[index] && UsersTold(index) && plans_[index].kind != Kind::kHangs) return false;
    }
    return true;
  }

  const unsigned seed_;  // Named where SCOPED_TRACE does not reach: on closers' threads.
  std::mt19937 random_;
  const std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::promise<void> let_go_;
  const std::shared_future<void> let_go_future_ = let_go_.get_future().share();
  std::vector<Plan> plans_;
  std::vector<bool> told_;  // Used by the thread of CloseAll() only.
  std::vector<ShutdownRegistry::Handle> handles_;
  JumpingClock clock_{[this] { return OnlyHanging(); }};
  ShutdownRegistry registry_;
};

unsigned FromEnvironment(const char* name, unsigned otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<unsigned>(std::stoul(text));
}

TEST(ShutdownRegistry, KeepsItsGuaranteesWhateverIsRegistered) {
  const unsigned only = FromEnvironment("SEED", 0);
  const unsigned first = only != 0 ? only : 1;
  const unsigned last = only != 0 ? only : FromEnvironment("SEEDS", 3000);
  for (unsigned seed = first; seed <= last && !HasFailure(); ++seed) {
    SCOPED_TRACE("SEED=" + std::to_string(seed));
    Round(seed).Run();
  }
}

}  // namespace
}  // namespace lifecycle
