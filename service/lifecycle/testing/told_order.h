#ifndef SERVICE_LIFECYCLE_TESTING_TOLD_ORDER_H_
#define SERVICE_LIFECYCLE_TESTING_TOLD_ORDER_H_

#include <string>
#include <vector>

#include "service/lifecycle/event.h"
#include "service/lifecycle/shutdown_request.h"

namespace lifecycle {

// The legal order of events in a shutdown, by shutdown_sequence.h, as a regular expression over
// their names.
//
// `served`: callers were let in; otherwise nobody can have found this replica.
inline std::string ToldOrder(ShutdownReason reason, bool served) {
  const std::string rest =
      "Connections(Gone|Remain) NewCallsRefused Calls(Finished|Cut) (LateCallsCut "
      ")?Server(Stopped|Abandoned) "
      "(WorkersStopped |(WorkerFailed )+)(StateSaved |SaveFailed )*(Closed |CloseFailed )*"
      "(WorkerFailed )*Stopped";
  if (!served) return "ShutdownRequested ListenerClosed GoodbyeSaid " + rest;
  // Any number of drains that were undone.
  const std::string taken_back = "(Serving ManualDrainRequested LameDuckEntered )*Serving ";
  const std::string drained =
      "ManualDrainRequested LameDuckEntered ShutdownRequested ListenerClosed GoodbyeSaid |"
      "ManualDrainRequested LameDuckEntered ListenerClosed GoodbyeSaid (Drained "
      ")?ShutdownRequested ";
  if (SkipsLameDuck(reason)) {
    return taken_back + "(ShutdownRequested ListenerClosed GoodbyeSaid |" + drained + ")" + rest;
  }
  return taken_back + "(ShutdownRequested LameDuckEntered ListenerClosed GoodbyeSaid |" + drained +
         ")" + rest;
}

// The same for a start that failed.
inline std::string ToldOrderOfAFailedStart() {
  return "CouldNotStart( WorkersStopped|( WorkerFailed)+)( Closed| CloseFailed)*( WorkerFailed)*";
}

// The names of `events`, separated as in these expressions.
inline std::string NamesOf(const std::vector<Event>& events) {
  std::string names;
  for (const Event& event : events) names += (names.empty() ? "" : " ") + std::string(event.name());
  return names;
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TESTING_TOLD_ORDER_H_
