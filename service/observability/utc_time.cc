#include "service/observability/utc_time.h"

#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"

namespace observability {

std::string UtcTime(std::chrono::system_clock::time_point time, int digits) {
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
  std::int64_t fraction = std::chrono::nanoseconds(time - second).count();
  constexpr std::size_t kDigits = 9;
  std::string text;
  text.reserve(last.text.size() + kDigits + 1);
  text.append(last.text).append(kDigits, '0');
  for (std::size_t at = text.size(); fraction > 0; fraction /= 10) {
    text[--at] = static_cast<char>('0' + fraction % 10);
  }
  text.resize(last.text.size() + static_cast<std::size_t>(digits));
  text += 'Z';
  return text;
}

}  // namespace observability
