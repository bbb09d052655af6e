#include "service/lifecycle/shutdown_request.h"

#include <utility>

namespace lifecycle {

bool ShutdownRequest::Request(ShutdownReason reason, std::string why) {
  {
    std::lock_guard lock(mutex_);
    if (reason_) return false;
    reason_ = reason;
    why_ = std::move(why);
    at_ = clock_.Now();
  }
  // First those that must not depend on anybody's callbacks.
  changed_.notify_all();
  requested_.request_stop();
  return true;
}

ShutdownReason ShutdownRequest::Wait() { return *Wait(std::stop_token()); }

std::optional<ShutdownReason> ShutdownRequest::Wait(std::stop_token interrupt) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, std::move(interrupt), [this] { return reason_.has_value(); });
  return reason_;
}

std::optional<ShutdownReason> ShutdownRequest::reason() const {
  std::lock_guard lock(mutex_);
  return reason_;
}

std::string ShutdownRequest::why() const {
  std::lock_guard lock(mutex_);
  return why_;
}

Clock::TimePoint ShutdownRequest::requested_at() const {
  std::lock_guard lock(mutex_);
  return at_;
}

}  // namespace lifecycle
