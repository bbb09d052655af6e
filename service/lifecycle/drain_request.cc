#include "service/lifecycle/drain_request.h"

#include <utility>

namespace lifecycle {

DrainRequest::DrainRequest(StopRequest& stop)
    : stop_(stop), on_stop_(stop.requested(), [this] { wish().interrupted.request_stop(); }) {}

std::stop_token DrainRequest::Request() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return state_ != State::kTakenBack; });
  Wish wish = wish_;
  const bool first = state_ == State::kNone;
  if (first) state_ = State::kRequested;
  lock.unlock();
  if (first) wish.requested.request_stop();
  return wish.taken_back.get_token();
}

absl::Status DrainRequest::Undo() {
  std::unique_lock lock(mutex_);
  if (state_ == State::kRequested && !stop_.reason()) {
    state_ = State::kTakenBack;
    Wish wish = wish_;
    lock.unlock();
    wish.interrupted.request_stop();
    lock.lock();
  }
  const int returns = returns_;
  changed_.wait(lock, [&] { return state_ != State::kTakenBack || returns_ != returns; });
  if (stop_.reason()) return absl::FailedPreconditionError("the process is about to stop");
  if (state_ == State::kPassed) {
    return absl::FailedPreconditionError(
        "the lame duck is over: new connections are refused already, and only a new process "
        "takes them");
  }
  return absl::OkStatus();
}

std::stop_token DrainRequest::requested() const { return wish().requested.get_token(); }

std::stop_token DrainRequest::interrupted() const { return wish().interrupted.get_token(); }

bool DrainRequest::Pass() {
  std::lock_guard lock(mutex_);
  if (state_ == State::kTakenBack && !stop_.reason()) return false;
  state_ = State::kPassed;
  changed_.notify_all();
  return true;
}

void DrainRequest::Return() {
  std::unique_lock lock(mutex_);
  if (state_ != State::kTakenBack) return;
  state_ = State::kNone;
  Wish past = std::exchange(wish_, Wish());
  ++returns_;
  changed_.notify_all();
  lock.unlock();
  past.taken_back.request_stop();
}

DrainRequest::Wish DrainRequest::wish() const {
  std::lock_guard lock(mutex_);
  return wish_;
}

}  // namespace lifecycle
