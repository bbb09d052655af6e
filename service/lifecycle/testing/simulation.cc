#include "service/lifecycle/testing/simulation.h"

#include <utility>

namespace lifecycle {

void Simulation::Enter() {
  // Goes when the thread does: what the thread was started for is recorded then.
  struct Alive {
    ~Alive() {
      if (simulation) ++simulation->ended_;
    }
    std::shared_ptr<Simulation> simulation;
  };
  thread_local Alive alive;
  alive.simulation = shared_from_this();
  Begin();
}

bool Simulation::Pause(Clock::Duration duration) { return Wait(clock_.Now() + duration, {}); }

bool Simulation::PauseUntil(std::stop_token stop) {
  return Wait(Clock::TimePoint::max(), std::move(stop));
}

bool Simulation::Hang() { return Wait(Clock::TimePoint::max(), {}); }

bool Simulation::Wait(Clock::TimePoint until, std::stop_token stop) {
  std::unique_lock lock(mutex_);
  return !clock_.WaitUntil(lock, changed_, until, std::move(stop), [this] { return let_go_; });
}

void Simulation::LetGo() {
  std::lock_guard lock(mutex_);
  let_go_ = true;
  changed_.notify_all();
}

std::optional<Clock::TimePoint> Simulation::Next(std::size_t others,
                                                 const std::function<bool()>& all_entered) {
  const std::size_t entered = entered_;
  const std::size_t ended = ended_;
  const FakeClock::Waiting waiting = clock_.Look();
  if (waiting.threads != entered - ended + others || !all_entered()) return std::nullopt;
  // Nobody who was missed has begun or ended meanwhile.
  if (entered_ != entered || ended_ != ended) return std::nullopt;
  return waiting.until;
}

}  // namespace lifecycle
