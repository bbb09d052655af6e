#ifndef SERVICE_OBSERVABILITY_UTC_TIME_H_
#define SERVICE_OBSERVABILITY_UTC_TIME_H_

#include <chrono>
#include <string>

namespace observability {

// "2026-01-31T12:00:01.250Z" (RFC 3339): in UTC, with the first `digits` digits of the second's
// fraction.
//
// A line of a log has one or two of these. The second is formatted once for everything that a
// thread says in it, which makes this ten times as fast as absl::FormatTime().
//
// Requires: 1 to 9 digits.
//
// Threads: any.
std::string UtcTime(std::chrono::system_clock::time_point time, int digits);
// The same, at the end of `text`.
void AppendUtcTime(std::string& text, std::chrono::system_clock::time_point time, int digits);

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_UTC_TIME_H_
