#ifndef TESTS_COMMON_EVENTUALLY_H_
#define TESTS_COMMON_EVENTUALLY_H_

#include <chrono>
#include <functional>
#include <thread>

namespace testkit {

// How long a test waits for something that must happen; never reached when all is well.
constexpr std::chrono::seconds kLong(30);

// The deadline that goes with it.
inline std::chrono::steady_clock::time_point Soon() {
  return std::chrono::steady_clock::now() + kLong;
}

// For conditions that notify nobody: whether `done()` becomes true in time. `interval`: from one look to
// the next; longer where looking is work for whom it waits for.
inline bool Eventually(const std::function<bool()>& done, std::chrono::milliseconds limit = kLong,
                       std::chrono::milliseconds interval = std::chrono::milliseconds(1)) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(interval);
  }
  return true;
}

}  // namespace testkit

#endif  // TESTS_COMMON_EVENTUALLY_H_
