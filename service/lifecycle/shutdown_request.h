#ifndef SERVICE_LIFECYCLE_SHUTDOWN_REQUEST_H_
#define SERVICE_LIFECYCLE_SHUTDOWN_REQUEST_H_

#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

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

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_REQUEST_H_
