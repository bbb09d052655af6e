#ifndef SERVICE_LIFECYCLE_SHUTDOWN_REQUEST_H_
#define SERVICE_LIFECYCLE_SHUTDOWN_REQUEST_H_

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"

namespace lifecycle {

// How a shutdown was asked for.
enum class ShutdownReason {
  // The platform takes this replica away (SIGTERM): a lame duck first.
  kTerminate,
  // A person at a terminal (Ctrl-C, SIGINT): no lame duck, no waiting for idle
  // connections.
  kInterrupt,
  // The process cannot go on as it should, because a worker has failed. Callers are
  // sent to a replica that can, as for kTerminate.
  kFailure,
};

// "terminate". Never null.
constexpr const char* ReasonName(ShutdownReason reason) {
  switch (reason) {
    case ShutdownReason::kTerminate:
      return "terminate";
    case ShutdownReason::kInterrupt:
      return "interrupt";
    case ShutdownReason::kFailure:
      return "failure";
  }
  return "?";
}

// The wish to stop, and the latch that main waits on until somebody has it.
//
// Guarantees: the first request decides the reason and the time; later ones
// change nothing.
//
// Threads: all methods may be called from any thread. Only Wait() blocks. What is
// registered on the tokens runs on the thread that requests, usually the one that
// takes the signals, and must return soon; when it hangs, further signals are not
// heard, but whoever is in Wait() has been released.
class ShutdownRequest {
 public:
  explicit ShutdownRequest(Clock& clock) : clock_(clock) {}

  // Asks the process to stop. False: it had been asked already. `why`: in words, what
  // the reason does not say.
  bool Request(ShutdownReason reason, std::string why = "");

  // Asks a shutdown that is under way to wait for nothing any more. The order still
  // holds and the state is still saved. Does nothing when called again.
  void Hurry() { hurry_.request_stop(); }

  // Requested by Hurry().
  std::stop_token hurry() const { return hurry_.get_token(); }

  // Blocks until Request() was called.
  ShutdownReason Wait();

  // The same, but gives up, and returns nothing, once a stop is requested of
  // `interrupt`.
  std::optional<ShutdownReason> Wait(std::stop_token interrupt);

  // What Request() said; unset before it.
  std::optional<ShutdownReason> reason() const;

  std::string why() const;

  // Requested by Request(), a moment after reason() is set.
  std::stop_token requested() const { return requested_.get_token(); }

  // When Request() was first called. Requires: it was.
  Clock::TimePoint requested_at() const;

 private:
  Clock& clock_;
  std::stop_source hurry_;
  std::stop_source requested_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<ShutdownReason> reason_;  // Guarded by mutex_.
  // Guarded by mutex_; set with reason_.
  std::string why_;
  Clock::TimePoint at_;
};

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

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_REQUEST_H_
