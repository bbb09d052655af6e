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

// The wish of an operator to drain the server while the process lives on, and
// to take that back for as long as nobody has been turned away:
//
//              Request()            EndLameDuck()
//     kNone ------------> kRequested ------------> kTooLate, for good
//       ^                     | Undo()
//       +-- ServesAgain() --- kTakenBack
//
// Operators call Request() and Undo(), the sequence calls the rest. What the drain does,
// and when: shutdown_sequence.h.
//
// Threads: Request() and Undo() may be called from any thread that may block, TakenBack()
// from any; the rest is the sequence's.
// Lifetime: `stop` outlives it.
class ManualDrain {
 public:
  // Names one drain.
  using Id = int;

  explicit ManualDrain(ShutdownRequest& stop);

  // Asks for a drain, or joins the one that is under way or done. One that is being
  // taken back is waited for first, so this blocks for a moment then.
  Id Request();

  // That drain was taken back, and the process serves as before.
  bool TakenBack(Id drain) const;

  // Takes the drain back. Blocks until the process serves as before. OK also when
  // there is none.
  //
  // Errors: FAILED_PRECONDITION when the lame duck is over, or the process is about
  // to stop.
  absl::Status Undo();

  // Blocks until a drain or a shutdown is requested.
  void AwaitRequest();

  // Blocks until the drain is taken back, a shutdown is requested, or `end` has come.
  void AwaitUndo(Clock& clock, Clock::TimePoint end);

  // The lame duck is about to end, with which nothing can be taken back any more,
  // whether there is a drain or not. False: it was taken back in time, so the lame duck
  // ends in ServesAgain(). A shutdown has precedence: true once it was requested. Whoever
  // waits in Undo() or Request() goes on after either.
  bool EndLameDuck();

  // The process serves, as before the drain that was taken back. Does nothing unless
  // one is being taken back.
  void ServesAgain();

 private:
  enum class State { kNone, kRequested, kTakenBack, kTooLate };

  bool Stopping() const { return stop_.reason().has_value(); }

  ShutdownRequest& stop_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  State state_ = State::kNone;  // Guarded by mutex_.
  Id taken_back_ = 0;           // Guarded by mutex_: how many drains were; names the next.
  std::stop_source requested_;  // Guarded by mutex_: of the present drain, or the next.
  const std::stop_callback<std::function<void()>> on_stop_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_MANUAL_DRAIN_H_
