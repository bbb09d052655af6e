#ifndef TESTS_CHAOS_VERDICT_H_
#define TESTS_CHAOS_VERDICT_H_

#include <vector>

#include "inventory/v1/inventory.pb.h"
#include "orders/v1/orders.pb.h"
#include "tests/chaos/callers.h"
#include "tests/rolling/evidence.h"
#include "tests/rolling/invariants.h"

namespace chaos {

// What is stored when all is well again and nothing moves any more.
struct Stored {
  std::vector<orders::v1::Order> orders;
  // All events, from the first on.
  std::vector<rolling::Event> log;
  orders::v1::GetSalesResponse sales;
  std::vector<inventory::v1::Stock> stock;
  bool stock_is_known = false;
};

// Compares what callers were told with what is stored:
//
//   every acknowledged order is stored once, and no other is
//   no order is cancelled that nobody has asked to cancel, and every one that was is
//   the log has each order's life in order, and ends with the state that is stored
//   every watcher saw every event once and in order
//   a tracker saw the last state of each of its orders, and none twice or backwards
//   initial = available + reserved + confirmed, and what is confirmed is what the orders bought
//   the sales are what the orders bought
rolling::Violations Judge(const Journal& told, const Stored& stored);

}  // namespace chaos

#endif  // TESTS_CHAOS_VERDICT_H_
