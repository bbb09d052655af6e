#ifndef SERVICE_LIFECYCLE_PHASE_H_
#define SERVICE_LIFECYCLE_PHASE_H_

namespace lifecycle {

// Where a process stands in its life. It only ever moves forward, but for one step:
// a drain by hand that is taken back leads from kLameDuck to kServing. A phase may
// be skipped. What each one does: shutdown_sequence.h.
enum class Phase {
  kStarting,
  kServing,
  kLameDuck,
  kLeaving,
  kDraining,
  kCancelling,
  kWorking,
  kSaving,
  kClosing,
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
    case Phase::kLeaving:
      return "Leaving";
    case Phase::kDraining:
      return "Draining";
    case Phase::kCancelling:
      return "Cancelling";
    case Phase::kWorking:
      return "Working";
    case Phase::kSaving:
      return "Saving";
    case Phase::kClosing:
      return "Closing";
    case Phase::kStopped:
      return "Stopped";
  }
  return "?";
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_PHASE_H_
