#ifndef SERVICE_LIFECYCLE_PHASE_H_
#define SERVICE_LIFECYCLE_PHASE_H_

namespace lifecycle {

// Where a process stands in its life. It only ever moves forward, but for one step:
// a manual drain that is taken back leads from kLameDuck to kServing. A phase may
// be skipped. What each one does: shutdown_sequence.h.
enum class Phase {
  kStarting,
  kServing,
  kLameDuck,
  kDrainingConnections,
  kDrainingCalls,
  kCancellingCalls,
  kStoppingWorkers,
  kSavingState,
  kClosingResources,
  kStopped,
};

// "LameDuck". Never null.
constexpr const char* PhaseName(Phase phase) {
  switch (phase) {
    case Phase::kStarting:
      return "Starting";
    case Phase::kServing:
      return "Serving";
    case Phase::kLameDuck:
      return "LameDuck";
    case Phase::kDrainingConnections:
      return "DrainingConnections";
    case Phase::kDrainingCalls:
      return "DrainingCalls";
    case Phase::kCancellingCalls:
      return "CancellingCalls";
    case Phase::kStoppingWorkers:
      return "StoppingWorkers";
    case Phase::kSavingState:
      return "SavingState";
    case Phase::kClosingResources:
      return "ClosingResources";
    case Phase::kStopped:
      return "Stopped";
  }
  return "?";
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_PHASE_H_
