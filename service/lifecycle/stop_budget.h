#ifndef SERVICE_LIFECYCLE_STOP_BUDGET_H_
#define SERVICE_LIFECYCLE_STOP_BUDGET_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "service/lifecycle/clock.h"

namespace lifecycle {

// How long each phase of a stop may take. A phase that has nothing left to wait
// for ends early; a budget is a limit, never a delay.
struct StopBudget {
  // From the request to stop to the end of the process, everything included: what
  // the platform waits for before it kills (Kubernetes:
  // terminationGracePeriodSeconds; systemd: TimeoutStopSec).
  Clock::Duration grace{};

  Clock::Duration lame_duck{};        // Phase::kLameDuck
  Clock::Duration least_lame_duck{};  // Its minimum; no part of the sum.
  Clock::Duration connections{};      // Phase::kLeaving
  Clock::Duration calls{};            // Phase::kDraining
  Clock::Duration streams{};          // Phase::kCancelling
  Clock::Duration workers{};          // Phase::kWorking
  Clock::Duration save{};             // Phase::kSaving
  Clock::Duration close{};            // Phase::kClosing
  // Kept back for the report and the exit; the watchdog fires when only half of it
  // is left, so that it is never in a race with a part that is used up.
  Clock::Duration reserve{};

  // Parts that are set by hand; the others share what these leave.
  struct Overrides {
    std::optional<Clock::Duration> lame_duck{}, connections{}, calls{}, streams{}, workers{},
        save{}, close{}, reserve{};
    // Unset: a fifth of lame_duck.
    std::optional<Clock::Duration> least_lame_duck{};
  };

  // Splits `grace` into the budgets. Their sum is `grace`, or less when every part
  // is set by hand.
  //
  // Errors: INVALID_ARGUMENT with the numbers, when anything is negative or longer
  // than a day, when what is set by hand leaves less than 10 ms for each other part,
  // when save or close has less than that, or when the least lame duck is longer than
  // the lame duck.
  static absl::StatusOr<StopBudget> Split(Clock::Duration grace, const Overrides& by_hand);

  // From the request to stop to the watchdog's bite.
  Clock::Duration watchdog() const { return grace - reserve / 2; }

  // "lame_duck 5s + connections 12s + ... = 30s"; " of 40s" follows when the parts
  // are less than the grace.
  std::string ToString() const;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_STOP_BUDGET_H_
