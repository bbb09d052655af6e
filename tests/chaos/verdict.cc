#include "tests/chaos/verdict.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace chaos {
namespace {

using orders::v1::Order;
using orders::v1::OrderState;
using rolling::Event;
using rolling::Violations;

Violations CheckNoOthers(const Journal& told, const Stored& stored) {
  std::set<std::string> requests;
  for (const rolling::Acknowledged& each : told.acknowledged) requests.insert(each.request_id);
  Violations violations;
  for (const Order& order : stored.orders) {
    if (requests.contains(order.request_id())) continue;
    violations.push_back(absl::StrCat("nobody was told of order ", order.order_id()));
  }
  return violations;
}

Violations CheckCancelled(const Journal& told, const Stored& stored) {
  Violations violations;
  for (const Order& order : stored.orders) {
    const bool is = order.state() == orders::v1::ORDER_STATE_CANCELLED;
    if (is == told.cancelled.contains(order.order_id())) continue;
    violations.push_back(absl::StrCat("order ", order.order_id(),
                                      is ? " is cancelled, and nobody has asked for it"
                                         : " was cancelled for its caller, and is not"));
  }
  return violations;
}

Violations CheckLives(const Stored& stored) {
  std::map<std::string, std::vector<OrderState>> lives;
  for (const Event& event : stored.log) lives[event.order_id].push_back(event.state);
  Violations violations;
  for (const Order& order : stored.orders) {
    const std::vector<OrderState> life = std::exchange(lives[order.order_id()], {});
    // Each state comes after the one before.
    const bool forward =
        std::adjacent_find(life.begin(), life.end(), std::greater_equal<>()) == life.end();
    if (forward && !life.empty() && life.front() == orders::v1::ORDER_STATE_PLACED &&
        life.back() == order.state()) {
      continue;
    }
    violations.push_back(absl::StrCat("order ", order.order_id(), " is ", order.state(), " after ",
                                      life.size(), " events"));
  }
  for (const auto& [id, life] : lives) {
    if (life.empty()) continue;
    violations.push_back(absl::StrCat("the log tells of order ", id, ", which is not stored"));
  }
  return violations;
}

Violations CheckTracker(const std::string& name, const std::vector<Event>& told,
                        const std::set<std::string>& followed, const Stored& stored) {
  Violations violations;
  std::map<std::string, OrderState> last;
  for (const Event& event : told) {
    if (event.state <= last[event.order_id]) {
      violations.push_back(absl::StrCat(name, " was told of order ", event.order_id, ": ",
                                        event.state, " after ", last[event.order_id]));
    }
    last[event.order_id] = event.state;
  }
  for (const Order& order : stored.orders) {
    const std::string& id = order.order_id();
    if (!followed.contains(id) || last[id] == order.state()) continue;
    violations.push_back(absl::StrCat(name, " was not told of the end of ", id));
  }
  return violations;
}

Violations CheckSales(const Stored& stored) {
  std::map<std::string, std::int64_t> bought;
  for (const Order& order : stored.orders) {
    if (order.state() == orders::v1::ORDER_STATE_CANCELLED) continue;
    for (const orders::v1::OrderItem& item : order.items()) bought[item.sku()] += item.quantity();
  }
  Violations violations;
  for (const orders::v1::Sales& each : stored.sales.sales()) {
    const std::int64_t quantity = std::exchange(bought[each.sku()], 0);
    if (each.quantity() == quantity) continue;
    violations.push_back(absl::StrCat("sales of ", each.sku(), ": ", each.quantity(),
                                      ", but the orders are of ", quantity));
  }
  for (const auto& [sku, quantity] : bought) {
    if (quantity != 0) violations.push_back(absl::StrCat("there are no sales of ", sku));
  }
  return violations;
}

}  // namespace

Violations Judge(const Journal& told, const Stored& stored) {
  Violations all;
  const auto add = [&all](const Violations& some) {
    all.insert(all.end(), some.begin(), some.end());
  };
  add(rolling::CheckOrders(stored.orders, told.acknowledged));
  add(CheckNoOthers(told, stored));
  add(CheckCancelled(told, stored));
  add(CheckLives(stored));
  for (const auto& [name, events] : told.watched) {
    add(rolling::CheckWatch(name, events, stored.log));
  }
  for (const auto& [name, events] : told.tracked) {
    add(CheckTracker(name, events, told.followed, stored));
  }
  if (stored.stock_is_known) {
    add(rolling::CheckStock(stored.stock, stored.orders));
  } else {
    add({"the stock could not be read"});
  }
  add(CheckSales(stored));
  return all;
}

}  // namespace chaos
