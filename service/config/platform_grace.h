#ifndef SERVICE_CONFIG_PLATFORM_GRACE_H_
#define SERVICE_CONFIG_PLATFORM_GRACE_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace config {

// How long the platform waits between SIGTERM and SIGKILL, if that is known.
struct PlatformGrace {
  // Infinite: it never sends SIGKILL.
  absl::Duration duration;
  // Where it was set: "--platform_grace", or the name of the variable.
  std::string source;
};

// The first of these that is set; nothing: unknown.
//
//   --platform_grace                   `flag`
//   TIMEOUT_STOP_USEC                  systemd: as `systemctl show --value
//                                      --property=TimeoutStopUSec` prints it,
//                                      "1min 30s" or "infinity"; a bare number is
//                                      in microseconds
//   TERMINATION_GRACE_PERIOD_SECONDS   Kubernetes: whole seconds
//
// No platform passes its limit to a process by itself: docs/operations.md says how to set these.
//
// Errors: INVALID_ARGUMENT, one line with the name and the value.
absl::StatusOr<std::optional<PlatformGrace>> PlatformGraceFrom(
    std::optional<absl::Duration> flag,
    const std::function<const char*(const char* variable)>& environment);

// A warning with both numbers if the platform kills before a shutdown of `grace` can end; empty:
// there is nothing to warn about.
std::string PlatformWarning(const PlatformGrace& platform, absl::Duration grace);

}  // namespace config

#endif  // SERVICE_CONFIG_PLATFORM_GRACE_H_
