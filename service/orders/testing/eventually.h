#ifndef SERVICE_ORDERS_TESTING_EVENTUALLY_H_
#define SERVICE_ORDERS_TESTING_EVENTUALLY_H_

#include <chrono>
#include <functional>
#include <thread>

namespace orders {

// How long a test waits for something that must happen; never reached when all is well.
constexpr std::chrono::seconds kLong(30);

// For conditions that notify nobody: whether `done()` becomes true.
inline bool Eventually(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + kLong;
  while (!done()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

}  // namespace orders

#endif  // SERVICE_ORDERS_TESTING_EVENTUALLY_H_
