#include "service/config/platform_grace.h"

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace config {
namespace {

constexpr char kSystemd[] = "TIMEOUT_STOP_USEC";
constexpr char kKubernetes[] = "TERMINATION_GRACE_PERIOD_SECONDS";
// Longer than anybody could mean, and no sum of such durations overflows.
constexpr std::int64_t kMostSeconds = std::int64_t{1000} * 365 * 24 * 3600;

absl::Status Malformed(const char* variable, absl::string_view value) {
  return absl::InvalidArgumentError(absl::StrCat(variable, ": \"", value, "\" is not a duration"));
}

// The units in which systemd prints a time (systemd.time(7)); "month" and "y" are
// left out: nobody waits that long.
std::optional<absl::Duration> UnitOf(absl::string_view name) {
  if (name.empty() || name == "us") return absl::Microseconds(1);
  if (name == "ms") return absl::Milliseconds(1);
  if (name == "s") return absl::Seconds(1);
  if (name == "min") return absl::Minutes(1);
  if (name == "h") return absl::Hours(1);
  if (name == "d") return absl::Hours(24);
  if (name == "w") return absl::Hours(24 * 7);
  return std::nullopt;
}

// "1min 30s", "30000000", "infinity".
std::optional<absl::Duration> ParseSystemd(absl::string_view text) {
  if (text == "infinity") return absl::InfiniteDuration();
  absl::Duration sum;
  for (const absl::string_view word : absl::StrSplit(text, ' ')) {
    const std::size_t end = word.find_first_not_of("0123456789.");
    const absl::string_view digits = word.substr(0, end);
    const auto unit = UnitOf(end == absl::string_view::npos ? "" : word.substr(end));
    double number = 0;
    if (digits.empty() || !absl::SimpleAtod(digits, &number) || !unit) return std::nullopt;
    const bool endless = number * absl::ToDoubleSeconds(*unit) > kMostSeconds;
    sum += endless ? absl::InfiniteDuration() : number * *unit;
  }
  return sum;
}

}  // namespace

absl::StatusOr<std::optional<PlatformGrace>> PlatformGraceFrom(
    std::optional<absl::Duration> flag,
    const std::function<const char*(const char*)>& environment) {
  if (flag) {
    if (*flag < absl::ZeroDuration()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--platform_grace: ", absl::FormatDuration(*flag), " is negative"));
    }
    return PlatformGrace{*flag, "--platform_grace"};
  }
  if (const char* value = environment(kSystemd); value != nullptr && *value != '\0') {
    const auto duration = ParseSystemd(value);
    if (!duration) return Malformed(kSystemd, value);
    return PlatformGrace{*duration, kSystemd};
  }
  if (const char* value = environment(kKubernetes); value != nullptr && *value != '\0') {
    std::int64_t seconds = 0;
    if (!absl::SimpleAtoi(value, &seconds) || seconds < 0) return Malformed(kKubernetes, value);
    return PlatformGrace{absl::Seconds(seconds), kKubernetes};
  }
  return std::nullopt;
}

std::string PlatformWarning(const PlatformGrace& platform, absl::Duration grace) {
  if (platform.duration >= grace) return "";
  return absl::StrCat("the platform sends SIGKILL after ", absl::FormatDuration(platform.duration),
                      " (", platform.source, "), before a shutdown of ",
                      absl::FormatDuration(grace),
                      " (--termination_grace) can end: the platform must allow at least as much");
}

}  // namespace config
