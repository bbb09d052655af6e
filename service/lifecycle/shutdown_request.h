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

// Why a shutdown was requested.
enum class ShutdownReason {
  // The platform is removing this replica (SIGTERM): begins with a lame duck.
  kTerminate,
  // A person at a terminal wants it to end (Ctrl-C, SIGINT): no lame duck.
  kInterrupt,
  // A worker has failed and the process cannot continue as it should. Callers are sent to another
  // replica, as for kTerminate.
  kFailure,
  // Another process has taken the listening sockets over and serves there: no lame duck, because
  // the address stays.
  kHandover,
};

// Whether callers find another server without being warned first.
constexpr bool SkipsLameDuck(ShutdownReason reason) {
  return reason == ShutdownReason::kInterrupt || reason == ShutdownReason::kHandover;
}

// "terminate". Never null.
constexpr const char* ReasonName(ShutdownReason reason) {
  switch (reason) {
    case ShutdownReason::kTerminate:
      return "terminate";
    case ShutdownReason::kInterrupt:
      return "interrupt";
    case ShutdownReason::kFailure:
      return "failure";
    case ShutdownReason::kHandover:
      return "handover";
  }
  return "?";
}

// A one-shot request to shut the process down, and the latch that main waits on.
//
// Guarantees: the first request determines the reason and the time; later ones change nothing.
//
// Threads: all methods may be called from any thread. Only Wait() blocks. Callbacks registered on
// the tokens run on the requesting thread, usually the signal thread, and must return soon. If one
// hangs, further signals are not processed, but Wait() has already returned.
class ShutdownRequest {
 public:
  explicit ShutdownRequest(Clock& clock) : clock_(clock) {}

  // Requests the shutdown. False: it was requested before. `why`: details for people, beyond the
  // reason.
  bool Request(ShutdownReason reason, std::string why = "");

  // Expedites a shutdown that is under way: every remaining wait shrinks to next to nothing. The
  // order stays the same and state is still saved. Calling it again does nothing.
  void Expedite() { expedite_.request_stop(); }

  // Requested by Expedite().
  std::stop_token expedited() const { return expedite_.get_token(); }

  // Blocks until Request() was called.
  ShutdownReason Wait();

  // The same, but returns nothing once a stop is requested on `interrupt`.
  std::optional<ShutdownReason> Wait(std::stop_token interrupt);

  // The reason given to Request(); unset before it.
  std::optional<ShutdownReason> reason() const;

  std::string why() const;

  // Requested by Request(), just after reason() is set.
  std::stop_token requested() const { return requested_.get_token(); }

  // When Request() was first called. Requires: it was.
  Clock::TimePoint requested_at() const;

 private:
  Clock& clock_;
  std::stop_source expedite_;
  std::stop_source requested_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::optional<ShutdownReason> reason_;  // Guarded by mutex_.
  // Guarded by mutex_; set with reason_.
  std::string why_;
  Clock::TimePoint at_;
};

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

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_REQUEST_H_
