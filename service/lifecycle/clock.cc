#include "service/lifecycle/clock.h"

#include <algorithm>
#include <utility>

namespace lifecycle {
namespace {

class SteadyClock final : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }

  bool WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed,
                 TimePoint deadline, std::stop_token interrupt,
                 const std::function<bool()>& done) override {
    return changed.wait_until(lock, std::move(interrupt), deadline, done);
  }
};

Clock::TimePoint Later(Clock::TimePoint now, Clock::Duration duration) {
  const bool is_in_time = duration < Clock::TimePoint::max() - now;
  return is_in_time ? now + duration : Clock::TimePoint::max();
}

}  // namespace

Clock& Clock::Steady() {
  static SteadyClock& clock = *new SteadyClock;
  return clock;
}

Clock::TimePoint CatchUp(Clock::TimePoint due, Clock::TimePoint now) {
  constexpr Clock::Duration kMost = std::chrono::milliseconds(200);
  return now + std::clamp(now - due, Clock::Duration::zero(), kMost);
}

Patience::Patience(Clock& clock, Clock::Duration budget, std::stop_token expedite,
                   Clock::Duration expedited)
    : clock_(clock),
      expedite_(std::move(expedite)),
      moment_(expedited),
      deadline_(Later(clock.Now(), budget)),
      caught_up_(budget <= Clock::Duration::zero()) {
  Expedited();
}

bool Patience::Wait(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed,
                    const std::function<bool()>& done, Clock::TimePoint sooner) {
  do {
    const std::stop_token interrupt = expedited_ ? std::stop_token() : expedite_;
    if (clock_.WaitUntil(lock, changed, std::min(sooner, deadline_), interrupt, done)) return true;
  } while (Expedited() || (!Over() && clock_.Now() < sooner));
  return false;
}

bool Patience::Poll(const std::function<bool()>& done) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  for (Clock::Duration interval = kFirstPollInterval; !done();
       interval = std::min(2 * interval, kPollInterval)) {
    Expedited();
    if (Over()) return false;
    clock_.WaitUntil(lock, never, std::min(deadline_, clock_.Now() + interval), {},
                     [] { return false; });
  }
  return true;
}

void Patience::Pause(Clock::Duration duration) {
  const Clock::TimePoint now = clock_.Now();
  const Clock::TimePoint end =
      duration < deadline_ - now ? now + duration : Clock::TimePoint::max();
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  Wait(
      lock, never, [] { return false; }, end);
}

bool Patience::Over() {
  const Clock::TimePoint now = clock_.Now();
  if (now < deadline_) return false;
  if (!std::exchange(caught_up_, true)) deadline_ = CatchUp(deadline_, now);
  return now >= deadline_;
}

bool Patience::Expedited() {
  if (expedited_ || !expedite_.stop_requested()) return false;
  expedited_ = true;
  deadline_ = std::min(deadline_, clock_.Now() + moment_);
  return true;
}

}  // namespace lifecycle
