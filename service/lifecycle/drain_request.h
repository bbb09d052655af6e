#ifndef SERVICE_LIFECYCLE_DRAIN_REQUEST_H_
#define SERVICE_LIFECYCLE_DRAIN_REQUEST_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>

#include "absl/status/status.h"
#include "service/lifecycle/stop_request.h"

namespace lifecycle {

// The wish of an operator to lead the callers away while the process lives on, and
// to take that back for as long as nobody has been turned away:
//
//              Request()            EndLameDuck()
//     kNone ------------> kRequested ------------> kTooLate, for good
//       ^                     | Undo()
//       +-- ServesAgain() --- kTakenBack
//
// Operators call Request() and Undo(), the sequence calls EndLameDuck() and
// ServesAgain(). What the drain does, and when: shutdown_sequence.h.
//
// Threads: Request() and Undo() may be called from any thread that may block; the
// rest is the sequence's.
// Lifetime: `stop` outlives it.
class DrainRequest {
 public:
  explicit DrainRequest(StopRequest& stop);

  // Asks for a drain, or joins the one that is under way or done. One that is being
  // taken back is waited for first, so this blocks for a moment then.
  //
  // The token is requested once this drain was taken back and the process serves as
  // before.
  std::stop_token Request();

  // Takes the drain back. Blocks until the process serves as before. OK also when
  // there is none.
  //
  // Errors: FAILED_PRECONDITION when the lame duck is over, or the process is about
  // to stop.
  absl::Status Undo();

  // These two are of one drain: after ServesAgain() there are others, of the next.
  //
  // Requested by Request().
  std::stop_token requested() const;
  // Requested when the drain has nothing to wait for any more: it was taken back, or
  // a stop was requested.
  std::stop_token interrupted() const;

  // The lame duck is about to end, with which nothing can be taken back any more,
  // whether there is a drain or not. False: it was taken back in time, so the lame duck
  // ends in ServesAgain(). A stop has precedence: true once it was requested. Whoever
  // waits in Undo() or Request() goes on after either.
  bool EndLameDuck();

  // The process serves, as before the drain that was taken back. Does nothing unless
  // one is being taken back.
  void ServesAgain();

 private:
  enum class State { kNone, kRequested, kTakenBack, kTooLate };

  // What can be heard of one drain.
  struct Sources {
    std::stop_source requested;
    std::stop_source taken_back;
    std::stop_source interrupted;
  };

  // A copy, which shares them: callbacks run without the mutex.
  Sources sources() const;

  const StopRequest& stop_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::kNone;  // Guarded by mutex_.
  int taken_back_ = 0;          // Guarded by mutex_: how many drains were.
  Sources sources_;             // Guarded by mutex_: of the present drain, or the next.
  const std::stop_callback<std::function<void()>> on_stop_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_DRAIN_REQUEST_H_
