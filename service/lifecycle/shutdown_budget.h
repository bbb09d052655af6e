#ifndef SERVICE_LIFECYCLE_SHUTDOWN_BUDGET_H_
#define SERVICE_LIFECYCLE_SHUTDOWN_BUDGET_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/phase.h"

namespace lifecycle {

// How the time of a shutdown is divided: one deadline for all of it, and a share of it that
// is guaranteed to each phase.
//
// A phase may use whatever is not guaranteed to the phases behind it, so what earlier
// ones leave over is not lost. It ends early when it has nothing left to wait for; only
// the lame duck is a delay, and lasts as long as it says.
struct ShutdownBudget {
  // From the request to stop to the end of the process, everything included: what
  // the platform waits for before it kills (Kubernetes:
  // terminationGracePeriodSeconds; systemd: TimeoutStopSec).
  Clock::Duration grace{};

  Clock::Duration lame_duck{};          // Phase::kLameDuck; all of it is spent.
  Clock::Duration drain_connections{};  // Phase::kDrainingConnections
  Clock::Duration drain_calls{};        // Phase::kDrainingCalls
  Clock::Duration cancel_calls{};       // Phase::kCancellingCalls
  Clock::Duration stop_workers{};       // Phase::kStoppingWorkers
  Clock::Duration save_state{};         // Phase::kSavingState
  Clock::Duration close_resources{};    // Phase::kClosingResources
  // Phase::kStopped: for the report and the exit. The watchdog fires when only half of it
  // is left, so that it is never in a race with a phase whose time is up.
  Clock::Duration reserve{};

  // Shares that are set by hand; the others divide what these leave.
  struct Overrides {
    std::optional<Clock::Duration> lame_duck{}, drain_connections{}, drain_calls{}, cancel_calls{},
        stop_workers{}, save_state{}, close_resources{}, reserve{};
  };

  // Divides `grace`. The sum of the shares is `grace`, or less when every one is set by
  // hand.
  //
  // Errors: INVALID_ARGUMENT with the numbers, when anything is negative or longer
  // than a day, when what is set by hand leaves less than 10 ms for each other share, or
  // when save or close has less than that.
  static absl::StatusOr<ShutdownBudget> Split(Clock::Duration grace, const Overrides& by_hand);

  // From the request to stop to the latest end of `phase`: what is guaranteed to the
  // phases behind it is left over then. Requires: kLameDuck or a later one.
  Clock::Duration EndOf(Phase phase) const;

  // From the request to stop to the watchdog's bite. Tests set it.
  std::optional<Clock::Duration> watchdog_after{};
  Clock::Duration watchdog() const { return watchdog_after.value_or(grace - reserve / 2); }

  // "lame_duck 5s + drain_connections 12s + ... = 30s"; " of 40s" follows when the shares
  // are less than the grace.
  std::string ToString() const;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_BUDGET_H_
