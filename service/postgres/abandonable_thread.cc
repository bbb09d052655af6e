#include "service/postgres/abandonable_thread.h"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

namespace postgres {

struct AbandonableThread::State {
  std::mutex mutex;
  std::condition_variable ended;
  bool has_ended = false;  // Guarded by mutex.
  std::thread thread;      // The owner's.
};

AbandonableThread::AbandonableThread(std::function<void()> work)
    : state_(std::make_shared<State>()) {
  state_->thread = std::thread([state = state_, work = std::move(work)]() mutable {
    work();
    work = nullptr;  // What it owns is gone before anybody is told that it has ended.
    std::lock_guard lock(state->mutex);
    state->has_ended = true;
    state->ended.notify_all();
  });
}

AbandonableThread& AbandonableThread::operator=(AbandonableThread&& other) noexcept {
  std::swap(state_, other.state_);
  return *this;
}

AbandonableThread::~AbandonableThread() {
  if (state_ != nullptr && !Await(TimePoint::min())) state_->thread.detach();
}

bool AbandonableThread::Await(TimePoint deadline) const {
  {
    std::unique_lock lock(state_->mutex);
    const auto ended = [this] { return state_->has_ended; };
    if (!state_->ended.wait_until(lock, deadline, ended)) return false;
  }
  if (state_->thread.joinable()) state_->thread.join();  // It has nothing left to do.
  return true;
}

}  // namespace postgres
