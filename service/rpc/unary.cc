#include "service/rpc/unary.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "service/lifecycle/last_resort/precondition.h"

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

namespace unary_internal {

Unanswered::~Unanswered() {
  if (!answered_) Answer(absl::UnavailableError("the call was given up; try again"));
}

void Unanswered::Claim() {
  lifecycle::Require(!answered_.exchange(true), "a call is answered once");
}

void Unanswered::Finish(const absl::Status& status) {
  grpc::Status answer = ToGrpc(status);
  method_->Answered(call_, answer.error_code());
  reactor_.Finish(std::move(answer));
}

void Unanswered::IfThrown(const std::function<void()>& begin) {
  if (method_->Survives(begin) || answered_.exchange(true)) return;
  Finish(absl::InternalError("it failed"));
}

}  // namespace unary_internal
}  // namespace rpc
