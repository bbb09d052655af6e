#include "client/retry.h"

#include <algorithm>
#include <utility>

#include "client/error_details.h"

namespace client {

bool IsRetryable(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsCancelled(status) ||
         (absl::IsResourceExhausted(status) && ErrorReason(status) == "OVERLOADED");
}

bool Retry::MayCure(const absl::Status& status) {
  const bool unexplained = absl::IsUnknown(status) || absl::IsInternal(status);
  return IsRetryable(status) || (unexplained && ErrorReason(status).empty());
}

Retry::Retry(const RetryOptions& options, Clock& clock, std::stop_token stop)
    : options_(options), clock_(clock), stop_(std::move(stop)), backoff_(options.initial_backoff) {}

void Retry::Succeeded() {
  backoff_ = options_.initial_backoff;
  failing_since_.reset();
  failures_ = 0;
  unexplained_ = 0;
}

bool Retry::AwaitNext(const absl::Status& status) {
  if (stop_.stop_requested() || !(status.ok() || MayCure(status))) return false;
  const bool explained = status.ok() || IsRetryable(status);
  if (!explained && ++unexplained_ >= options_.max_unexplained) return false;
  const Clock::TimePoint now = clock_.Now();
  if (!failing_since_.has_value()) failing_since_ = now;
  ++failures_;

  const double share = std::uniform_real_distribution<double>(0.5, 1)(random_);
  const auto wait = std::chrono::duration_cast<Clock::Duration>(backoff_ * share) +
                    RetryDelay(status).value_or(std::chrono::milliseconds(0));
  backoff_ = std::min<decltype(backoff_)>(backoff_ * options_.multiplier, options_.max_backoff);

  if (options_.give_up_after.has_value() &&
      std::chrono::ceil<std::chrono::milliseconds>(now + wait - *failing_since_) >
          *options_.give_up_after) {
    return false;
  }
  if (options_.on_retry) options_.on_retry({status, wait, failures_});
  clock_.Sleep(wait, stop_);
  return !stop_.stop_requested();
}

}  // namespace client
