#include "service/lifecycle/watchdog.h"

#include <utility>

namespace lifecycle {

Watchdog::Watchdog(StopRequest& request, Clock::Duration allowance, std::function<void()> bite)
    : request_(request), thread_([this, allowance, bite = std::move(bite)] {
        Watch(allowance, bite);
      }) {}

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(mutex_);
    called_off_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::Watch(Clock::Duration allowance, const std::function<void()>& bite) {
  const auto called_off = [this] { return called_off_; };
  std::unique_lock lock(mutex_);
  if (changed_.wait(lock, request_.requested(), called_off)) return;
  // `requested_at` may be a fake clock's; what counts here is the real one's.
  const auto end = std::chrono::steady_clock::now() + allowance;
  if (changed_.wait_until(lock, end, called_off)) return;
  lock.unlock();
  bite();
}

}  // namespace lifecycle
