#ifndef SERVICE_LIFECYCLE_TOLD_ORDER_H_
#define SERVICE_LIFECYCLE_TOLD_ORDER_H_

#include <string>
#include <vector>

#include "service/lifecycle/observer.h"
#include "service/lifecycle/stop_request.h"

namespace lifecycle {

// What a stop tells, in the order of shutdown_sequence.h, as a regular expression over
// the names of its events.
//
// `served`: callers were let in; else nobody can have found this replica.
inline std::string ToldOrder(StopReason reason, bool served) {
  const std::string rest =
      "Connections(Gone|Left) ShutdownBegun Calls(Finished|Cut) Server(Stopped|Abandoned) "
      "(WorkersStopped |(WorkerFailed )+)(StateSaved |SaveFailed )*(Closed |CloseFailed )*Stopped";
  if (!served) return "StopRequested ListenerClosed GoodbyeSaid " + rest;
  // Any number of drains that were taken back.
  const std::string taken_back = "(Serving DrainRequested LameDuckEntered )*Serving ";
  const std::string drained =
      "DrainRequested LameDuckEntered StopRequested ListenerClosed GoodbyeSaid |"
      "DrainRequested LameDuckEntered ListenerClosed GoodbyeSaid (Drained )?StopRequested ";
  if (reason == StopReason::kInterrupt) {
    return taken_back + "(StopRequested ListenerClosed GoodbyeSaid |" + drained + ")" + rest;
  }
  return taken_back + "(StopRequested LameDuckEntered ListenerClosed GoodbyeSaid |" + drained +
         ")" + rest;
}

// The same of a start that failed.
inline std::string ToldOrderOfAFailedStart() {
  return "CouldNotStart( WorkersStopped|( WorkerFailed)+)( Closed| CloseFailed)*";
}

// Their names, as these have them.
inline std::string NamesOf(const std::vector<Event>& events) {
  std::string names;
  for (const Event& event : events) names += (names.empty() ? "" : " ") + event.name;
  return names;
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TOLD_ORDER_H_
