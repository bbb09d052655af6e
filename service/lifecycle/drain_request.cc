#include "service/lifecycle/drain_request.h"

#include <utility>

namespace lifecycle {

DrainRequest::DrainRequest(StopRequest& stop)
    : stop_(stop), on_stop_(stop.requested(), [this] { sources().interrupted.request_stop(); }) {}

std::stop_token DrainRequest::Request() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return state_ != State::kTakenBack; });
  Sources sources = sources_;
  const bool first = state_ == State::kNone;
  if (first) state_ = State::kRequested;
  lock.unlock();
  if (first) sources.requested.request_stop();
  return sources.taken_back.get_token();
}

absl::Status DrainRequest::Undo() {
  std::unique_lock lock(mutex_);
  if (state_ == State::kRequested && !stop_.reason()) {
    state_ = State::kTakenBack;
    Sources sources = sources_;
    lock.unlock();
    sources.interrupted.request_stop();
    lock.lock();
  }
  const int before = taken_back_;
  changed_.wait(lock, [&] { return state_ != State::kTakenBack || taken_back_ != before; });
  if (stop_.reason()) return absl::FailedPreconditionError("the process is about to stop");
  if (state_ == State::kTooLate) {
    return absl::FailedPreconditionError(
        "the lame duck is over: new connections are refused already, and only a new process "
        "takes them");
  }
  return absl::OkStatus();
}

std::stop_token DrainRequest::requested() const { return sources().requested.get_token(); }

std::stop_token DrainRequest::interrupted() const { return sources().interrupted.get_token(); }

bool DrainRequest::EndLameDuck() {
  std::lock_guard lock(mutex_);
  if (state_ == State::kTakenBack && !stop_.reason()) return false;
  state_ = State::kTooLate;
  changed_.notify_all();
  return true;
}

void DrainRequest::ServesAgain() {
  std::unique_lock lock(mutex_);
  if (state_ != State::kTakenBack) return;
  state_ = State::kNone;
  Sources past = std::exchange(sources_, Sources());
  ++taken_back_;
  changed_.notify_all();
  lock.unlock();
  past.taken_back.request_stop();
}

DrainRequest::Sources DrainRequest::sources() const {
  std::lock_guard lock(mutex_);
  return sources_;
}

}  // namespace lifecycle
