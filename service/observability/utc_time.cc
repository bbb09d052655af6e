#include "service/observability/utc_time.h"

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace observability {

std::string UtcTime(std::chrono::system_clock::time_point time, int digits) {
  std::string text;
  AppendUtcTime(text, time, digits);
  return text;
}

void AppendUtcTime(std::string& text, std::chrono::system_clock::time_point time, int digits) {
  struct Formatted {
    std::chrono::sys_seconds second = std::chrono::sys_seconds::min();
    std::string text;
  };
  static thread_local Formatted last;
  const std::chrono::sys_seconds second = std::chrono::floor<std::chrono::seconds>(time);
  if (second != last.second) {
    last.text =
        absl::FormatTime("%Y-%m-%dT%H:%M:%S.", absl::FromChrono(second), absl::UTCTimeZone());
    last.second = second;
  }
  constexpr int kDigits = 9;
  auto fraction = static_cast<std::uint32_t>(std::chrono::nanoseconds(time - second).count());
  for (int left_out = digits; left_out < kDigits; ++left_out) fraction /= 10;
  char shown[kDigits];
  for (int at = digits; at-- > 0; fraction /= 10) {
    shown[at] = static_cast<char>('0' + fraction % 10);
  }
  text.append(last.text).append(shown, static_cast<std::size_t>(digits)).append(1, 'Z');
}

}  // namespace observability
