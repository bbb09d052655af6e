#ifndef SERVICE_CONFIG_PLATFORM_GRACE_H_
#define SERVICE_CONFIG_PLATFORM_GRACE_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace config {

// How long the platform waits between SIGTERM and SIGKILL, as far as it says so.
struct PlatformGrace {
  // Infinite: it never kills.
  absl::Duration duration;
  // Who said it: "--platform_grace", or the variable's name.
  std::string source;
};

// The first of these that is set; nothing: the platform does not say.
//
//   --platform_grace                   `flag`
//   TIMEOUT_STOP_USEC                  systemd: as `systemctl show --value
//                                      --property=TimeoutStopUSec` prints it,
//                                      "1min 30s" or "infinity"; a number alone is
//                                      microseconds
//   TERMINATION_GRACE_PERIOD_SECONDS   Kubernetes: whole seconds
//
// No platform hands its own limit to a process: docs/operations.md says how to have
// these set.
//
// Errors: INVALID_ARGUMENT, one line with the name and the value.
absl::StatusOr<std::optional<PlatformGrace>> PlatformGraceFrom(
    std::optional<absl::Duration> flag,
    const std::function<const char*(const char* variable)>& environment);

// What is wrong when the platform kills before a shutdown of `grace` has ended, with both
// numbers; empty: nothing.
std::string PlatformWarning(const PlatformGrace& platform, absl::Duration grace);

}  // namespace config

#endif  // SERVICE_CONFIG_PLATFORM_GRACE_H_
