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
  return std::min(deadline(), lifecycle::Clock::Steady().Now() + lifecycle::AtMostAYear(limit));
}

namespace unary_internal {

void RunOrFail(GuardedMethod& method, const std::function<void()>& work,
               const std::function<void()>& drop) {
  if (method.Survives(work)) return;
  const GuardedMethod::Failing failing;
  drop();
}

Unanswered::~Unanswered() {
  if (answered_) return;
  if (!failed_) method_->Dropped();
  Answer(failed_ ? absl::InternalError("the handler failed")
                 : absl::UnavailableError("the call was given up; try again"));
}

void Unanswered::LetGo() {
  if (GuardedMethod::Failing::Here()) failed_ = true;
}

void Unanswered::Claim() {
  lifecycle::Require(!answered_.exchange(true), "a call is answered once");
}

void Unanswered::Finish(const absl::Status& status) {
  grpc::Status answer = ToGrpc(status);
  method_->Answered(call_.context, answer.error_code());
  reactor_.Finish(std::move(answer));
}

}  // namespace unary_internal
}  // namespace rpc
