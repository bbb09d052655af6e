#include "service/rpc/unary.h"

#include <algorithm>
#include <chrono>

namespace rpc {

absl::Status Call::Abandoned() const {
  if (context_->IsCancelled()) return absl::CancelledError("the caller has gone");
  if (context_->deadline() < std::chrono::system_clock::now()) {
    return absl::DeadlineExceededError("the caller's deadline is over");
  }
  return absl::OkStatus();
}

lifecycle::Clock::TimePoint Call::deadline() const {
  using Clock = lifecycle::Clock;
  const auto left = context_->deadline() - std::chrono::system_clock::now();
  const Clock::TimePoint now = Clock::Steady().Now();
  if (left > std::chrono::hours(24 * 365)) return Clock::TimePoint::max();
  return now + std::chrono::duration_cast<Clock::Duration>(left);
}

lifecycle::Clock::TimePoint Call::DeadlineWithin(lifecycle::Clock::Duration limit) const {
  return std::min(deadline(), lifecycle::Clock::Steady().Now() + limit);
}

}  // namespace rpc
