#ifndef SERVICE_LIFECYCLE_WATCHDOG_H_
#define SERVICE_LIFECYCLE_WATCHDOG_H_

#include <functional>
#include <stop_token>
#include <thread>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/stop_request.h"

namespace lifecycle {

// Ends a stop that does not end by itself.
//
// The problem: any lock, any peer, any disk can hang, and then nothing that a
// stop does in order comes to its end. So one thread, which takes part in nothing
// else, looks at the clock.
//
// Guarantees: once `allowance` has passed since the request to stop, or since the
// watchdog was created if that was later, and the watchdog still lives, `bite` is
// called, on the watchdog's own thread. The time is the machine's, also when the
// request keeps another clock: a test that holds time still can hang, too.
//
// Lifetime: `request` outlives it. The destructor calls it off, and waits for
// `bite` when that has begun.
class Watchdog {
 public:
  // `bite` must wait for no lock that anybody may hold where anything can block, and in
  // production does not return.
  Watchdog(StopRequest& request, Clock::Duration allowance, std::function<void()> bite);
  ~Watchdog() = default;
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  std::jthread thread_;  // Stopped: called off.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_WATCHDOG_H_
