#include "service/lifecycle/stop_request.h"

namespace lifecycle {

bool StopRequest::Request(StopReason reason) {
  {
    std::lock_guard lock(mutex_);
    if (reason_) return false;
    reason_ = reason;
    at_ = clock_.Now();
  }
  requested_.request_stop();
  changed_.notify_all();
  return true;
}

StopReason StopRequest::Wait() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return reason_.has_value(); });
  return *reason_;
}

Clock::TimePoint StopRequest::requested_at() const {
  std::lock_guard lock(mutex_);
  return at_;
}

}  // namespace lifecycle
