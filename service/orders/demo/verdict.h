#ifndef SERVICE_ORDERS_DEMO_VERDICT_H_
#define SERVICE_ORDERS_DEMO_VERDICT_H_

#include <string>
#include <vector>

#include "inventory/v1/inventory.pb.h"
#include "orders/v1/orders.pb.h"

namespace demo {

// What somebody was told of an order: by its answer, or by an event.
struct Told {
  std::string order_id;
  orders::v1::OrderState state = orders::v1::ORDER_STATE_UNSPECIFIED;

  bool operator==(const Told&) const = default;
};

// Everything that can be known from outside once the traffic has ended.
struct Evidence {
  // What the callers were answered.
  std::vector<orders::v1::Order> acknowledged;
  // Why calls failed, after all the client library's retries.
  std::vector<std::string> failures;
  // How the server that was stopped ended: "exit code 0".
  std::string server_ended;
  // All orders, read back when none was on its way any more.
  std::vector<orders::v1::Order> stored;
  // All events, read back from the first one on.
  std::vector<Told> log;
  // What each watcher saw while it happened.
  std::vector<std::vector<Told>> watched;
  std::vector<inventory::v1::Stock> stock;
};

// One promise, and whether it was kept.
struct Finding {
  bool kept = false;
  std::string promise;
  // The numbers; of a promise that was broken, the first thing that is wrong.
  std::string proof;
};

// Holds the evidence against the promises of the orders service:
//
//   every order that was acknowledged is stored exactly once, and no other
//   every watcher saw every event exactly once and in order
//   no call failed
//   the server ended with exit code 0
//   initial = available + reserved + confirmed, and what is sold was ordered
std::vector<Finding> Judge(const Evidence& evidence);

}  // namespace demo

#endif  // SERVICE_ORDERS_DEMO_VERDICT_H_
