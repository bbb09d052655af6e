#include "service/rpc/blocking_pool.h"

#include <string>
#include <system_error>
#include <utility>

#include "service/lifecycle/last_resort/precondition.h"
#include "service/lifecycle/last_resort/run_or_catch.h"
#include "service/rpc/guarded_method.h"
#include "service/rpc/spare_threads.h"

namespace rpc {

BlockingPool::BlockingPool(std::size_t threads, std::size_t capacity, OnFailure on_failure,
                           lifecycle::Clock::Duration max_wait, lifecycle::Clock& clock)
    : capacity_(capacity), on_failure_(std::move(on_failure)), max_wait_(max_wait), clock_(clock) {
  lifecycle::Require(threads > 0, "a BlockingPool without a thread runs nothing");
  threads_.reserve(threads);
  try {
    for (std::size_t i = 0; i < threads; ++i) {
      threads_.emplace_back([this] { Work(); });
      std::lock_guard lock(mutex_);
      ++running_threads_;
    }
  } catch (const std::system_error& none) {
    EndThreads();
    throw std::system_error(none.code(), "only " + std::to_string(threads_.size()) +
                                             " of a pool's " + std::to_string(threads) +
                                             " threads can be created (" + kThreadLimits + ")");
  } catch (...) {
    EndThreads();
    throw;
  }
}

BlockingPool::~BlockingPool() { EndThreads(); }

void BlockingPool::EndThreads() {
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

bool BlockingPool::Run(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    const lifecycle::Clock::TimePoint now = clock_.Now();
    if (closed_ || waiting_.size() >= capacity_) return false;
    if (!waiting_.empty() && now - waiting_.front().since > max_wait_) return false;
    waiting_.push_back({std::move(work), now});
  }
  changed_.notify_one();
  return true;
}

bool BlockingPool::Continue(std::function<void()> work) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return false;
    continued_.push_back(std::move(work));
  }
  changed_.notify_one();
  return true;
}

std::function<void()> BlockingPool::TakeNext() {
  std::function<void()> next;
  if (!continued_.empty()) {
    next = std::move(continued_.front());
    continued_.pop_front();
  } else {
    next = std::move(waiting_.front().work);
    waiting_.pop_front();
  }
  return next;
}

absl::Status BlockingPool::Close(lifecycle::Clock::TimePoint deadline) {
  std::unique_lock lock(mutex_);
  closed_ = true;
  changed_.notify_all();
  const auto ended = [this] { return running_threads_ == 0; };
  if (!all_ended_.wait_until(lock, deadline, ended)) {
    return absl::DeadlineExceededError("work is still running");
  }
  return absl::OkStatus();
}

void BlockingPool::Work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return closed_ || !IsEmpty(); });
    if (IsEmpty()) break;
    std::function<void()> work = TakeNext();
    lock.unlock();
    const absl::Status done = lifecycle::RunOrCatch([&work] {
      work();
      return absl::OkStatus();
    });
    if (!done.ok()) {
      lifecycle::Require(on_failure_ != nullptr, done.ToString());
      on_failure_(done);
      const GuardedMethod::Failing failing;  // Who waits for it is told.
      work = nullptr;
    }
    work = nullptr;  // What it captured is gone before the lock is held again.
    lock.lock();
  }
  --running_threads_;
  all_ended_.notify_all();
}

}  // namespace rpc
