#include "service/lifecycle/testing/simulation.h"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <stop_token>
#include <thread>

#include "service/lifecycle/testing/fake_clock.h"

namespace lifecycle {
namespace {

using std::chrono::seconds;

class SimulationTest : public testing::Test {
 protected:
  ~SimulationTest() override { simulation_->LetGo(); }

  std::optional<Clock::TimePoint> Next(std::size_t others = 0, bool all_entered = true) {
    return simulation_->Next(others, [all_entered] { return all_entered; });
  }
  Clock::TimePoint AwaitNext() {
    std::optional<Clock::TimePoint> next;
    while (!next) next = Next();
    return *next;
  }

  const std::shared_ptr<Simulation> simulation_ = std::make_shared<Simulation>();
  FakeClock& clock_ = simulation_->clock();
};

TEST_F(SimulationTest, AdvancesToTheFirstDeadlineOnceAllWait) {
  std::promise<void> entered, go_on;
  std::jthread early([&] {
    simulation_->Enter();
    entered.set_value();
    go_on.get_future().wait();
    EXPECT_TRUE(simulation_->Pause(seconds(3)));
  });
  std::jthread late([&] {
    simulation_->Enter();
    EXPECT_FALSE(simulation_->Hang());
  });
  entered.get_future().wait();
  EXPECT_EQ(Next(), std::nullopt) << "one runs";
  go_on.set_value();
  EXPECT_EQ(AwaitNext(), clock_.Now() + seconds(3));
  EXPECT_EQ(Next(/*others=*/1), std::nullopt) << "another one runs";
  EXPECT_EQ(Next(0, /*all_entered=*/false), std::nullopt) << "somebody is still to come";
  clock_.Advance(seconds(3));
  early.join();
  EXPECT_EQ(AwaitNext(), Clock::TimePoint::max());
  simulation_->LetGo();
}

TEST_F(SimulationTest, CountsAThreadUntilItsWorkIsRecorded) {
  std::promise<void> entered, paused, recorded;
  std::jthread thread([&] {
    simulation_->Enter();
    entered.set_value();
    EXPECT_TRUE(simulation_->Pause(seconds(1)));
    paused.set_value();
    recorded.get_future().wait();
  });
  entered.get_future().wait();
  EXPECT_EQ(AwaitNext(), clock_.Now() + seconds(1));
  clock_.Advance(seconds(1));
  paused.get_future().wait();
  EXPECT_EQ(Next(), std::nullopt);
  recorded.set_value();
  thread.join();
  EXPECT_EQ(Next(), Clock::TimePoint::max());
}

TEST_F(SimulationTest, EndsAPauseAtAShutdown) {
  std::jthread thread([&](std::stop_token stop) {
    simulation_->Enter();
    EXPECT_TRUE(simulation_->PauseUntil(stop));
  });
  AwaitNext();
  thread.request_stop();
}

}  // namespace
}  // namespace lifecycle
