#include "service/lifecycle/manual_drain.h"

namespace lifecycle {

ManualDrain::ManualDrain(ShutdownRequest& shutdown)
    : shutdown_(shutdown), on_shutdown_(shutdown.requested(), [this] {
        std::lock_guard lock(mutex_);  // Whoever has just checked for a shutdown is waiting by now.
        changed_.notify_all();
      }) {}

ManualDrain::Id ManualDrain::Request() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return state_ != State::kTakenBack; });
  if (state_ == State::kNone) state_ = State::kRequested;
  requested_.request_stop();
  return taken_back_;
}

bool ManualDrain::TakenBack(Id drain) const {
  std::lock_guard lock(mutex_);
  return taken_back_ > drain;
}

absl::Status ManualDrain::Undo() {
  std::unique_lock lock(mutex_);
  if (state_ == State::kRequested && !ShuttingDown()) {
    state_ = State::kTakenBack;
    changed_.notify_all();
  }
  const Id before = taken_back_;
  changed_.wait(lock, [&] { return state_ != State::kTakenBack || taken_back_ != before; });
  if (ShuttingDown()) return absl::FailedPreconditionError("the process is about to stop");
  if (state_ == State::kTooLate) {
    return absl::FailedPreconditionError(
        "the lame duck is over: new connections are not accepted any more, and only a restart "
        "lets them in again");
  }
  return absl::OkStatus();
}

void ManualDrain::AwaitRequest() {
  std::unique_lock lock(mutex_);
  const std::stop_token requested = requested_.get_token();
  lock.unlock();
  // Returns at a shutdown before any callback runs, whatever those callbacks do.
  shutdown_.Wait(requested);
}

void ManualDrain::AwaitUndo(Clock& clock, Clock::TimePoint end) {
  std::unique_lock lock(mutex_);
  clock.WaitUntil(lock, changed_, end, {},
                  [this] { return state_ == State::kTakenBack || ShuttingDown(); });
}

bool ManualDrain::EndLameDuck() {
  std::lock_guard lock(mutex_);
  if (state_ == State::kTakenBack && !ShuttingDown()) return false;
  state_ = State::kTooLate;
  changed_.notify_all();
  return true;
}

void ManualDrain::ServesAgain() {
  std::lock_guard lock(mutex_);
  if (state_ != State::kTakenBack) return;
  state_ = State::kNone;
  requested_ = std::stop_source();
  ++taken_back_;
  changed_.notify_all();
}

}  // namespace lifecycle
