// Closes random graphs of entries that return, fail, throw or hang after a random
// time, and are expedited or not, and checks what shutdown_registry.h
// guarantees of every one.
//
// A failure names its seed; SEED=<seed> runs that one alone, SEEDS=<n> the first n:
//   bazel test --test_env=SEED=42 //service/lifecycle:shutdown_registry_random_test

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <random>
#include <stop_token>
#include <string>
#include <thread>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/shutdown_registry.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/lifecycle/testing/random_entries.h"
#include "service/lifecycle/testing/seeds.h"
#include "service/lifecycle/testing/simulation.h"

namespace lifecycle {
namespace {

using std::chrono::milliseconds;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{20};

void CloseAllOf(unsigned seed) {
  std::mt19937 random(seed);
  const auto simulation = std::make_shared<Simulation>();
  std::stop_source expedite;
  ShutdownRegistry registry;
  RandomEntries entries("SEED=" + std::to_string(seed), random, simulation, registry,
                        {.expedite = [expedite]() mutable { expedite.request_stop(); },
                         .expedited = expedite.get_token()});
  const Clock::Duration budget = milliseconds(std::uniform_int_distribution<int>(50, 5000)(random));
  FakeClock& clock = simulation->clock();
  const Clock::TimePoint end = clock.Now() + budget;
  std::future<void> closed = std::async(std::launch::async, [&] {
    Patience patience(clock, budget, expedite.get_token());
    registry.CloseAll(patience, [&](const ShutdownRegistry::Closed& each) { entries.Told(each); });
    EXPECT_LE(clock.Now(), patience.deadline());
  });
  const auto limit = std::chrono::steady_clock::now() + kLimit;
  while (closed.wait_for(milliseconds(0)) != std::future_status::ready) {
    ASSERT_LT(std::chrono::steady_clock::now(), limit) << "it hangs";
    const auto next = simulation->Next(/*others=*/1, [&] { return entries.AllBegun(); });
    if (next) {
      clock.Advance(*next - clock.Now());
    } else {
      std::this_thread::yield();
    }
  }
  EXPECT_LE(clock.Now(), end);
  entries.Check();
  simulation->LetGo();
}

TEST(ShutdownRegistry, KeepsItsGuaranteesWhateverIsRegistered) { ForEachSeed(3000, CloseAllOf); }

}  // namespace
}  // namespace lifecycle
