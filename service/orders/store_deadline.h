#ifndef SERVICE_ORDERS_STORE_DEADLINE_H_
#define SERVICE_ORDERS_STORE_DEADLINE_H_

#include <algorithm>
#include <chrono>

#include "service/lifecycle/clock.h"
#include "service/rpc/unary.h"

namespace orders {

// Until when work in the store may last when nobody says so: longer than a busy disk takes.
inline lifecycle::Clock::TimePoint StoreDeadline() {
  return std::chrono::steady_clock::now() + std::chrono::seconds(5);
}

// The same for a call, which waits no longer than its caller.
inline lifecycle::Clock::TimePoint StoreDeadline(const rpc::Call& call) {
  return std::min(call.deadline(), StoreDeadline());
}

}  // namespace orders

#endif  // SERVICE_ORDERS_STORE_DEADLINE_H_
