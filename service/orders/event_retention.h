#ifndef SERVICE_ORDERS_EVENT_RETENTION_H_
#define SERVICE_ORDERS_EVENT_RETENTION_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"
#include "service/orders/order_store.h"

namespace orders {

// The background worker that removes old events, so that the log does not grow for ever. Orders
// stay.
//
// The problem: a watcher resumes where it was, so events must be kept for as long as one may be
// away, and no longer.
//
// Threads: Run() on one.
class EventRetention {
 public:
  // The last `kept` events stay. `store` outlives it.
  EventRetention(OrderStore& store, std::int64_t kept,
                 lifecycle::Clock& clock = lifecycle::Clock::Steady());

  // Looks now and then, until `stop` is requested.
  void Run(std::stop_token stop);

 private:
  absl::Status TrimOnce(std::stop_token stop);

  OrderStore& store_;
  const std::int64_t kept_;
  lifecycle::Clock& clock_;
  std::mutex mutex_;
  std::condition_variable_any never_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_EVENT_RETENTION_H_
