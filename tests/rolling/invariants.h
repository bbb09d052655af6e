#ifndef TESTS_ROLLING_INVARIANTS_H_
#define TESTS_ROLLING_INVARIANTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "inventory/v1/inventory.pb.h"
#include "orders/v1/orders.pb.h"
#include "tests/rolling/evidence.h"

namespace rolling {

// What must hold after any number of restarts. Each function returns a sentence for every
// violation; nothing: all is well.
using Violations = std::vector<std::string>;

// Every order is stored once, by its id and by its request_id; every acknowledged order is stored,
// under the id that the caller was told.
Violations CheckOrders(const std::vector<orders::v1::Order>& stored,
                       const std::vector<Acknowledged>& acknowledged);

// The log says of every stored order that it was placed and then confirmed, each once, and says
// nothing else.
Violations CheckLog(const std::vector<Event>& log, const std::vector<orders::v1::Order>& stored);

// The watcher saw the whole log, in order, every event once.
Violations CheckWatch(const std::string& watcher, const std::vector<Event>& told,
                      const std::vector<Event>& log);

// How what a watcher was told differs from the log, whatever the order.
struct Differences {
  std::int64_t missing = 0;   // Events of the log that it was not told.
  std::int64_t repeated = 0;  // Events that it was told once too often.

  bool operator==(const Differences&) const = default;
};
Differences Compare(const std::vector<Event>& told, const std::vector<Event>& log);

// For each order that it asked for, the tracker finally saw that it is confirmed, and nothing twice
// or backwards. Several changes may be reported as one.
Violations CheckTrack(const std::string& tracker, const std::vector<std::string>& order_ids,
                      const std::vector<Event>& told);

// For every SKU, initial = available + reserved + confirmed, and what is confirmed is what the
// stored orders have bought.
Violations CheckStock(const std::vector<inventory::v1::Stock>& stock,
                      const std::vector<orders::v1::Order>& stored);

}  // namespace rolling

#endif  // TESTS_ROLLING_INVARIANTS_H_
