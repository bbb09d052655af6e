#ifndef SERVICE_LIFECYCLE_PHASE_H_
#define SERVICE_LIFECYCLE_PHASE_H_

namespace lifecycle {

// The stages of a process's life, in order. A process only ever moves forward, with one exception:
// undoing a manual drain leads from kLameDuck back to kServing. A phase may be skipped.
// shutdown_sequence.h says what happens in each.
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
