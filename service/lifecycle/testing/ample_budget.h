#ifndef SERVICE_LIFECYCLE_TESTING_AMPLE_BUDGET_H_
#define SERVICE_LIFECYCLE_TESTING_AMPLE_BUDGET_H_

#include <chrono>

#include "service/lifecycle/shutdown_budget.h"

namespace lifecycle {

// A budget for tests, so long that no share is ever used up. Without a lame duck, which would
// always be spent.
inline ShutdownBudget AmpleBudget() {
  using std::chrono::hours;
  return {.grace = hours(8),
          .drain_connections = hours(1),
          .drain_calls = hours(1),
          .cancel_calls = hours(1),
          .stop_workers = hours(1),
          .save_state = hours(1),
          .close_resources = hours(1),
          .reserve = hours(1)};
}

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TESTING_AMPLE_BUDGET_H_
