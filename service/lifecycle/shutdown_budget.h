#ifndef SERVICE_LIFECYCLE_SHUTDOWN_BUDGET_H_
#define SERVICE_LIFECYCLE_SHUTDOWN_BUDGET_H_

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/phase.h"

namespace lifecycle {

// How the time of a shutdown is divided: one deadline for all of it, and a guaranteed share for
// each phase.
//
// A phase may also use all time that is not guaranteed to later phases, so what earlier phases
// leave over is not lost. A phase ends early when it has nothing left to wait for; only the lame
// duck is a delay and always lasts its full time.
struct ShutdownBudget {
  // From the shutdown request to the end of the process, everything included: the time that the
  // platform allows before it sends SIGKILL (Kubernetes: terminationGracePeriodSeconds; systemd:
  // TimeoutStopSec).
  Clock::Duration grace{};

  Clock::Duration lame_duck{};          // Phase::kLameDuck; all of it is spent.
  Clock::Duration drain_connections{};  // Phase::kDrainingConnections
  Clock::Duration drain_calls{};        // Phase::kDrainingCalls
  Clock::Duration cancel_calls{};       // Phase::kCancellingCalls
  Clock::Duration stop_workers{};       // Phase::kStoppingWorkers
  Clock::Duration save_state{};         // Phase::kSavingState
  Clock::Duration close_resources{};    // Phase::kClosingResources
  // Phase::kStopped: for the report and the exit. The watchdog fires when only half of it is left,
  // so that it never races with a phase whose time is up; see UntilExpired().
  Clock::Duration reserve{};

  // Shares set by hand; the others divide what these leave.
  struct Overrides {
    std::optional<Clock::Duration> lame_duck{}, drain_connections{}, drain_calls{}, cancel_calls{},
        stop_workers{}, save_state{}, close_resources{}, reserve{};
  };

  // Divides `grace`. The shares add up to `grace`, or to less when all of them are set by hand.
  //
  // Errors: INVALID_ARGUMENT with the numbers, when a duration is negative or longer than a day,
  // when the shares set by hand leave less than 10 ms for each of the others, or when save_state,
  // close_resources or reserve is less than that.
  static absl::StatusOr<ShutdownBudget> Split(Clock::Duration grace, const Overrides& by_hand);

  // From the shutdown request to the latest end of `phase`, at which only the time guaranteed to
  // later phases is left. Requires: kLameDuck or a later phase.
  Clock::Duration EndOf(Phase phase) const;

  // From the shutdown request to the moment at which the watchdog fires. Set by tests.
  std::optional<Clock::Duration> watchdog_after{};
  Clock::Duration watchdog() const { return watchdog_after.value_or(grace - reserve / 2); }

  // From the shutdown request to the watchdog's last words: then, or a little earlier if the reserve
  // is so short that they would have no time. Later than every other phase's end.
  Clock::Duration UntilExpired() const;

  // From the shutdown request to the exit that nothing can prevent, later than the last words. The
  // rest of the grace is for the kernel, which has memory to free, and for a busy machine.
  Clock::Duration UntilExit() const;

  // "lame_duck 5s + drain_connections 12s + ... = 30s", followed by " of 40s" when the shares add
  // up to less than the grace.
  std::string ToString() const;
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_SHUTDOWN_BUDGET_H_
