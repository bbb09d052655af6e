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
};

AbandonableThread::AbandonableThread(std::function<void()> work)
    : state_(std::make_shared<State>()) {
  std::thread([state = state_, work = std::move(work)]() mutable {
    work();
    work = nullptr;  // What it owns is gone before anybody is told that it has ended.
    std::lock_guard lock(state->mutex);
    state->has_ended = true;
    state->ended.notify_all();
  }).detach();
}

bool AbandonableThread::Await(TimePoint deadline) const {
  std::unique_lock lock(state_->mutex);
  return state_->ended.wait_until(lock, deadline, [this] { return state_->has_ended; });
}

}  // namespace postgres
