#include "service/lifecycle/testing/fake_clock.h"

#include <algorithm>
#include <utility>

namespace lifecycle {

bool FakeClock::WaitUntil(std::unique_lock<std::mutex>& lock, std::condition_variable_any& changed,
                          TimePoint deadline, std::stop_token interrupt,
                          const std::function<bool()>& done) {
  // Advance() and AwaitWaiters() hold mutex_ while they take a waiter's mutex, so
  // mutex_ is never taken here with `lock` held.
  lock.unlock();
  std::list<Waiter>::iterator self;
  {
    std::lock_guard own(mutex_);
    self = waiters_.insert(waiters_.end(), {lock.mutex(), &changed, deadline, interrupt, &done});
  }
  waiters_changed_.notify_all();
  lock.lock();
  changed.wait(lock, std::move(interrupt), [&] { return done() || Now() >= deadline; });
  lock.unlock();
  {
    std::lock_guard own(mutex_);
    waiters_.erase(self);
  }
  lock.lock();
  return done();
}

void FakeClock::Advance(Duration by) {
  std::lock_guard own(mutex_);
  now_ = Now() + by;
  for (const Waiter& waiter : waiters_) {
    // Passing through the waiter's mutex makes sure that it is not between its
    // look at the time and its sleep.
    { const std::lock_guard pass(*waiter.mutex); }
    waiter.changed->notify_all();
  }
}

void FakeClock::AwaitWaiters(std::size_t count) {
  std::unique_lock lock(mutex_);
  waiters_changed_.wait(lock, [&] { return LookLocked().threads >= count; });
}

FakeClock::Waiting FakeClock::Look() {
  std::lock_guard own(mutex_);
  return LookLocked();
}

FakeClock::Waiting FakeClock::LookLocked() const {
  Waiting waiting;
  for (const Waiter& waiter : waiters_) {
    if (!Waits(waiter)) continue;
    ++waiting.threads;
    waiting.until = std::min(waiting.until, waiter.deadline);
  }
  return waiting;
}

bool FakeClock::Waits(const Waiter& waiter) const {
  if (waiter.deadline <= Now() || waiter.interrupt.stop_requested()) return false;
  std::lock_guard lock(*waiter.mutex);
  return !(*waiter.done)();
}

}  // namespace lifecycle
