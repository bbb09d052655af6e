#include "service/lifecycle/stop_request.h"

#include <utility>

namespace lifecycle {

bool StopRequest::Request(StopReason reason, std::string why) {
  {
    std::lock_guard lock(mutex_);
    if (reason_) return false;
    reason_ = reason;
    why_ = std::move(why);
    at_ = clock_.Now();
  }
  // First those who must not depend on what strangers have registered.
  changed_.notify_all();
  requested_.request_stop();
  return true;
}

StopReason StopRequest::Wait() { return *Wait(std::stop_token()); }

std::optional<StopReason> StopRequest::Wait(std::stop_token interrupt) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, std::move(interrupt), [this] { return reason_.has_value(); });
  return reason_;
}

std::optional<StopReason> StopRequest::reason() const {
  std::lock_guard lock(mutex_);
  return reason_;
}

std::string StopRequest::why() const {
  std::lock_guard lock(mutex_);
  return why_;
}

Clock::TimePoint StopRequest::requested_at() const {
  std::lock_guard lock(mutex_);
  return at_;
}

}  // namespace lifecycle
