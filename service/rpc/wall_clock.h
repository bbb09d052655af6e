#ifndef SERVICE_RPC_WALL_CLOCK_H_
#define SERVICE_RPC_WALL_CLOCK_H_

#include <chrono>

#include "service/lifecycle/clock.h"

namespace rpc {

// Converts a deadline to the wall clock that gRPC expects. One that is infinitely far away becomes
// a year from now.
inline std::chrono::system_clock::time_point OnTheWall(lifecycle::Clock::TimePoint point) {
  const lifecycle::Clock::Duration left = point - std::chrono::steady_clock::now();
  return std::chrono::system_clock::now() +
         std::chrono::duration_cast<std::chrono::system_clock::duration>(
             lifecycle::AtMostAYear(left));
}

}  // namespace rpc

#endif  // SERVICE_RPC_WALL_CLOCK_H_
