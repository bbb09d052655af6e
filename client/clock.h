#ifndef CLIENT_CLOCK_H_
#define CLIENT_CLOCK_H_

#include <algorithm>
#include <chrono>
#include <stop_token>

namespace client {

// Time, and waiting for it. All waiting between two attempts in this directory goes through a
// Clock, so that tests need not wait.
//
// Threads: all methods may be called from any thread.
class Clock {
 public:
  // Monotonic: changing the wall clock moves no limit.
  using TimePoint = std::chrono::steady_clock::time_point;
  using Duration = std::chrono::steady_clock::duration;

  virtual ~Clock() = default;

  virtual TimePoint Now() const = 0;

  // Waits for `duration`, or until a stop is requested.
  virtual void Sleep(Duration duration, std::stop_token stop) = 0;
};

// For a sum with a time, which a longer limit, such as max(), would overflow: it would lie in the past.
inline std::chrono::milliseconds AtMostAYear(std::chrono::milliseconds limit) {
  return std::min<std::chrono::milliseconds>(limit, std::chrono::hours(24 * 365));
}

}  // namespace client

#endif  // CLIENT_CLOCK_H_
