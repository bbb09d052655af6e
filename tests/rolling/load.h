#ifndef TESTS_ROLLING_LOAD_H_
#define TESTS_ROLLING_LOAD_H_

#include <chrono>
#include <stop_token>
#include <string>

#include "orders/v1/orders.pb.h"

namespace rolling {

// What every caller does alike.

// How long a call may take: a channel to one replica alone waits while that is away.
constexpr std::chrono::seconds kCallLimit{60};

// How often an order is read for each time that one is placed.
constexpr int kReadsPerOrder = 20;

// Sleeps, and wakes when stopped. 0: does not sleep.
void Pause(std::chrono::milliseconds duration, const std::stop_token& stop);

// A caller's own time between two calls, when nobody says otherwise: constant load,
// and room on a small machine.
constexpr std::chrono::milliseconds kThinkTime{10};

// Orders that differ in what they buy.
class OrderMaker {
 public:
  // With a request_id of its own.
  orders::v1::PlaceOrderRequest Next();

 private:
  int made_ = 0;
};

}  // namespace rolling

#endif  // TESTS_ROLLING_LOAD_H_
