#ifndef SERVICE_LIFECYCLE_MANUAL_DRAIN_H_
#define SERVICE_LIFECYCLE_MANUAL_DRAIN_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/shutdown_request.h"

namespace lifecycle {

// An operator's request to drain the server while the process keeps running, which can be undone as
// long as no caller has been turned away:
//
//              Request()            EndLameDuck()
//     kNone ------------> kRequested ------------> kTooLate, for good
//       ^                     | Undo()
//       +-- ServesAgain() --- kTakenBack
//
// Operators call Request() and Undo(); the sequence calls the rest. shutdown_sequence.h says what
// the drain does, and when.
//
// Threads: Request() and Undo() may be called from any thread that may block, TakenBack() from any
// thread; the rest belongs to the sequence.
// Lifetime: the shutdown request outlives it.
class ManualDrain {
 public:
  // Identifies one drain.
  using Id = int;

  explicit ManualDrain(ShutdownRequest& shutdown);

  // Requests a drain, or joins the one that is under way or complete. If one is just being undone,
  // waits for that first, so it may block for a moment.
  Id Request();

  // Whether that drain was undone and the process serves as before.
  bool TakenBack(Id drain) const;

  // Undoes the drain. Blocks until the process serves as before. OK also when there is no drain.
  //
  // Errors: FAILED_PRECONDITION when the lame duck is over or the process is shutting down.
  absl::Status Undo();

  // Blocks until a drain or a shutdown is requested.
  void AwaitRequest();

  // Blocks until the drain is undone, a shutdown is requested, or `end` is reached.
  void AwaitUndo(Clock& clock, Clock::TimePoint end);

  // Marks the end of the lame duck: from now on nothing can be undone, whether there is a drain or
  // not. False: the drain was undone in time, so the lame duck ends with ServesAgain() instead. A
  // shutdown takes precedence: true once it was requested. Releases everyone who waits in Undo() or
  // Request(), unless it returns false; then ServesAgain() does.
  bool EndLameDuck();

  // The process serves as before the drain that was undone. Does nothing unless one is being
  // undone.
  void ServesAgain();

 private:
  enum class State { kNone, kRequested, kTakenBack, kTooLate };

  bool ShuttingDown() const { return shutdown_.reason().has_value(); }

  ShutdownRequest& shutdown_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  State state_ = State::kNone;  // Guarded by mutex_.
  Id taken_back_ = 0;           // Guarded by mutex_: how many drains were; names the next.
  std::stop_source requested_;  // Guarded by mutex_: of the present drain, or the next.
  const std::stop_callback<std::function<void()>> on_shutdown_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_MANUAL_DRAIN_H_
