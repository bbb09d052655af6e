#ifndef SERVICE_LIFECYCLE_SHUTDOWN_REQUEST_H_
#define SERVICE_LIFECYCLE_SHUTDOWN_REQUEST_H_

#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>

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

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_REQUEST_H_
