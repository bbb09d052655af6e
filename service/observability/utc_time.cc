#include "service/observability/utc_time.h"

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "absl/time/time.h"

namespace observability {
namespace {

struct Formatted {
  std::chrono::sys_seconds second = std::chrono::sys_seconds::min();
  char text[32] = {};
  std::size_t size = 0;
};
// exit() destroys what its thread has of its own before the process tells that it ends.
static_assert(std::is_trivially_destructible_v<Formatted>);

Formatted Format(std::chrono::sys_seconds second) {
  Formatted formatted{.second = second};
  formatted.size =
      absl::FormatTime("%Y-%m-%dT%H:%M:%S.", absl::FromChrono(second), absl::UTCTimeZone())
          .copy(formatted.text, sizeof formatted.text);
  return formatted;
}

}  // namespace

std::string UtcTime(std::chrono::system_clock::time_point time, int digits) {
  std::string text;
  AppendUtcTime(text, time, digits);
  return text;
}

void AppendUtcTime(std::string& text, std::chrono::system_clock::time_point time, int digits) {
  static thread_local Formatted last;
  const std::chrono::sys_seconds second = std::chrono::floor<std::chrono::seconds>(time);
  if (second != last.second) last = Format(second);
  constexpr int kDigits = 9;
  auto fraction = static_cast<std::uint32_t>(std::chrono::nanoseconds(time - second).count());
  for (int left_out = digits; left_out < kDigits; ++left_out) fraction /= 10;
  char shown[kDigits];
  for (int at = digits; at-- > 0; fraction /= 10) {
    shown[at] = static_cast<char>('0' + fraction % 10);
  }
  text.append(last.text, last.size).append(shown, static_cast<std::size_t>(digits)).append(1, 'Z');
}

}  // namespace observability
