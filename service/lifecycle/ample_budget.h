#ifndef SERVICE_LIFECYCLE_AMPLE_BUDGET_H_
#define SERVICE_LIFECYCLE_AMPLE_BUDGET_H_

#include <chrono>

#include "service/lifecycle/stop_budget.h"

namespace lifecycle {

// For tests: so long that no part of it is ever spent. No lame duck, which always is.
inline StopBudget AmpleBudget() {
  using std::chrono::hours;
  return {.grace = hours(8),
          .connections = hours(1),
          .calls = hours(1),
          .streams = hours(1),
          .workers = hours(1),
          .save = hours(1),
          .close = hours(1),
          .reserve = hours(1)};
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_AMPLE_BUDGET_H_
