#ifndef SERVICE_LIFECYCLE_OBSERVER_H_
#define SERVICE_LIFECYCLE_OBSERVER_H_

#include <string>

#include "service/lifecycle/clock.h"
#include "service/lifecycle/phase.h"

namespace lifecycle {

// One thing that has happened on the way of a process from start to stop.
struct Event {
  // A past fact, "ListenerClosed", one word for logs, reports and tests alike.
  // The whole list, in order: shutdown_sequence.h.
  std::string name{};
  // What it happened to, where there are several: a closer's or a worker's name.
  std::string subject{};
  // For a person to read; no program depends on it.
  std::string detail{};
  // The phase in which it happened.
  Phase phase = Phase::kStarting;
  // False: a person should look at this (something was forced, or failed).
  bool ok = true;
  Clock::TimePoint at{};
};

// Is told what happens: by the thread that makes it happen, in order.
//
// Requires of an implementation: it may be called from any thread, and returns
// soon; the stop waits for it.
class Observer {
 public:
  virtual ~Observer() = default;
  virtual void OnEvent(const Event& event) = 0;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_OBSERVER_H_
