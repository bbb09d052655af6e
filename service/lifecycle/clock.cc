#include "service/lifecycle/clock.h"

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

}  // namespace

Clock& Clock::Steady() {
  static SteadyClock& clock = *new SteadyClock;
  return clock;
}

}  // namespace lifecycle
