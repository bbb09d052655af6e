#ifndef SERVICE_ORDERS_DEMO_VERDICT_H_
#define SERVICE_ORDERS_DEMO_VERDICT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "inventory/v1/inventory.pb.h"
#include "orders/v1/orders.pb.h"

namespace demo {

// What a caller was told about an order, in an answer or in an event.
struct Told {
  std::string order_id;
  orders::v1::OrderState state = orders::v1::ORDER_STATE_UNSPECIFIED;

  bool operator==(const Told&) const = default;
};

// Everything that can be observed from outside once the load has ended.
struct Evidence {
  // What the callers were answered.
  std::vector<orders::v1::Order> acknowledged;
  // Why calls failed, after all the client library's retries.
  std::vector<std::string> failures;
  // How each server that got SIGTERM ended: "exit code 0".
  std::vector<std::string> endings;
  // All orders, read back when none was in flight.
  std::vector<orders::v1::Order> stored;
  // All events, read back from the first one on.
  std::vector<Told> log;
  // How many there are, as the server counts (GetSales); else one behind those read goes unnoticed.
  std::int64_t events = 0;
  // What each watcher saw live.
  std::vector<std::vector<Told>> watched;
  std::vector<inventory::v1::Stock> stock;
};

// One promise, and whether it was kept.
struct Finding {
  bool kept = false;
  std::string promise;
  // The numbers, or the first violation.
  std::string proof;
};

// Checks the evidence against what the orders service promises:
//
//   every order that was acknowledged is stored exactly once, and no other
//   the log says of every order that it was placed and then confirmed, once each; nobody cancels
//   every watcher saw every event exactly once and in order
//   no call failed
//   every server that got SIGTERM ended with exit code 0
//   initial = available + confirmed, nothing is reserved any more, and what is sold was ordered
std::vector<Finding> Judge(const Evidence& evidence);

}  // namespace demo

#endif  // SERVICE_ORDERS_DEMO_VERDICT_H_
