#ifndef SERVICE_LIFECYCLE_WATCHDOG_H_
#define SERVICE_LIFECYCLE_WATCHDOG_H_

#include <condition_variable>
#include <functional>
#include <mutex>
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
// Guarantees: once `allowance` has passed since the request to stop, and the
// watchdog still lives, `bite` is called, on the watchdog's own thread. It looks
// at the machine's steady clock, whatever clock the rest of the process uses.
//
// Lifetime: `request` outlives it. The destructor calls it off, and waits for
// `bite` when that has begun.
class Watchdog {
 public:
  // `bite` must take no lock that anybody else may hold, and in production does
  // not return.
  Watchdog(StopRequest& request, Clock::Duration allowance, std::function<void()> bite);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Watch(Clock::Duration allowance, const std::function<void()>& bite);

  StopRequest& request_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool called_off_ = false;  // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_WATCHDOG_H_
