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
//              Request()              Pass()
//     kNone ------------> kRequested ---------> kPassed, for good
//       ^                     | Undo()
//       +---- Return() --- kTakenBack
//
// What the drain does, and when: shutdown_sequence.h.
//
// Threads: Request() and Undo() may be called from any thread that may block; the
// sequence calls the rest.
// Lifetime: `stop` outlives it.
class DrainRequest {
 public:
  explicit DrainRequest(StopRequest& stop);

  // Asks for a drain, or joins the one that is under way or done. One that is being
  // taken back is waited for first, so this blocks for a moment then.
  //
  // The token is requested once the drain was taken back: by Return().
  std::stop_token Request();

  // Takes the drain back. Blocks until the process serves as before. OK also when
  // there is none.
  //
  // Errors: FAILED_PRECONDITION when the lame duck is over, or the process is about
  // to stop.
  absl::Status Undo();

  // Requested by Request(). Of the present drain, as the next: after Return() there
  // is another one.
  std::stop_token requested() const;

  // Requested when there is something more urgent than to wait for callers: the
  // drain was taken back, or a stop was requested.
  std::stop_token interrupted() const;

  // Ends the time in which a drain can be taken back, whether there is one or not.
  // False: it was; then Return() follows. A stop has precedence: true once it was
  // requested. Whoever is in Undo() or Request() goes on after either.
  bool Pass();

  // The process serves as before. Does nothing unless a drain is being taken back.
  void Return();

 private:
  enum class State { kNone, kRequested, kTakenBack, kPassed };

  struct Wish {
    std::stop_source requested;
    std::stop_source taken_back;
    std::stop_source interrupted;
  };

  // A copy, whose sources are the same ones: their callbacks run without the mutex.
  Wish wish() const;

  const StopRequest& stop_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  State state_ = State::kNone;  // Guarded by mutex_.
  int returns_ = 0;             // Guarded by mutex_: how often Return() was called.
  Wish wish_;                   // Guarded by mutex_.
  const std::stop_callback<std::function<void()>> on_stop_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_DRAIN_REQUEST_H_
