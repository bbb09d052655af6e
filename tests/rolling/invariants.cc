#include "tests/rolling/invariants.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"

namespace rolling {

using orders::v1::Order;
using orders::v1::ORDER_STATE_CONFIRMED;
using orders::v1::ORDER_STATE_PLACED;

namespace {

std::string Text(const Event& event) {
  return absl::StrCat(event.order_id, " ", orders::v1::OrderState_Name(event.state));
}

}  // namespace

Violations CheckOrders(const std::vector<Order>& stored,
                       const std::vector<Acknowledged>& acknowledged) {
  Violations violations;
  std::set<std::string> ids;
  std::map<std::string, std::string> by_request;
  for (const Order& order : stored) {
    if (!ids.insert(order.order_id()).second) {
      violations.push_back(absl::StrCat("order ", order.order_id(), " is stored twice"));
    }
    if (!by_request.emplace(order.request_id(), order.order_id()).second) {
      violations.push_back(absl::StrCat("request ", order.request_id(), " made two orders"));
    }
  }
  for (const Acknowledged& each : acknowledged) {
    const auto found = by_request.find(each.request_id);
    if (found == by_request.end()) {
      violations.push_back(
          absl::StrCat("request ", each.request_id, " was acknowledged and is not stored"));
    } else if (!each.order_id.empty() && each.order_id != found->second) {
      violations.push_back(absl::StrCat("request ", each.request_id, " was answered with order ",
                                        each.order_id, " and is stored as ", found->second));
    }
  }
  return violations;
}

Violations CheckLog(const std::vector<Event>& log, const std::vector<Order>& stored) {
  Violations violations;
  std::map<std::string, std::vector<orders::v1::OrderState>> lives;
  for (const Event& event : log) lives[event.order_id].push_back(event.state);
  for (const Order& order : stored) {
    const auto life = lives.extract(order.order_id());
    if (life.empty() || life.mapped() != std::vector{ORDER_STATE_PLACED, ORDER_STATE_CONFIRMED}) {
      violations.push_back(absl::StrCat("the log does not say that order ", order.order_id(),
                                        " was placed and then confirmed, once each"));
    }
  }
  for (const auto& [id, states] : lives) {
    violations.push_back(absl::StrCat("the log tells of order ", id, ", which is not stored"));
  }
  return violations;
}

Violations CheckWatch(const std::string& watcher, const std::vector<Event>& told,
                      const std::vector<Event>& log) {
  const auto [at, expected] = std::mismatch(told.begin(), told.end(), log.begin(), log.end());
  if (at == told.end() && expected == log.end()) return {};
  return {absl::StrCat(watcher, " was told ", told.size(), " events of ", log.size(),
                       "; the first difference is event ", at - told.begin() + 1, ": ",
                       at == told.end() ? "nothing" : Text(*at), " instead of ",
                       expected == log.end() ? "nothing" : Text(*expected))};
}

Differences Compare(const std::vector<Event>& told, const std::vector<Event>& log) {
  std::map<std::pair<std::string, orders::v1::OrderState>, std::int64_t> surplus;
  for (const Event& event : told) ++surplus[{event.order_id, event.state}];
  for (const Event& event : log) --surplus[{event.order_id, event.state}];
  Differences differences;
  for (const auto& [event, count] : surplus) {
    (count < 0 ? differences.missing : differences.repeated) += std::abs(count);
  }
  return differences;
}

Violations CheckTrack(const std::string& tracker, const std::vector<std::string>& order_ids,
                      const std::vector<Event>& told) {
  Violations violations;
  // ORDER_STATE_UNSPECIFIED: nothing was told. It is also what would be told of an
  // order that is not there.
  std::map<std::string, orders::v1::OrderState> last;
  for (const Event& event : told) {
    orders::v1::OrderState& before = last[event.order_id];
    if (event.state <= before) {
      violations.push_back(absl::StrCat(tracker, " was told ", Text(event), " after ",
                                        orders::v1::OrderState_Name(before)));
    }
    before = event.state;
  }
  for (const std::string& id : order_ids) {
    if (last[id] != ORDER_STATE_CONFIRMED) {
      violations.push_back(absl::StrCat(tracker, " was never told that ", id, " is confirmed"));
    }
  }
  return violations;
}

Violations CheckStock(const std::vector<inventory::v1::Stock>& stock,
                      const std::vector<Order>& stored) {
  Violations violations;
  std::map<std::string, std::int64_t> bought;
  for (const Order& order : stored) {
    if (order.state() != ORDER_STATE_CONFIRMED) continue;
    for (const orders::v1::OrderItem& item : order.items()) bought[item.sku()] += item.quantity();
  }
  for (const inventory::v1::Stock& each : stock) {
    if (each.initial() != each.available() + each.reserved() + each.confirmed()) {
      violations.push_back(absl::StrCat(each.sku(), ": initial ", each.initial(),
                                        " is not available ", each.available(), " + reserved ",
                                        each.reserved(), " + confirmed ", each.confirmed()));
    }
    if (each.confirmed() != bought[each.sku()]) {
      violations.push_back(absl::StrCat(each.sku(), ": confirmed ", each.confirmed(),
                                        ", but the orders have bought ", bought[each.sku()]));
    }
    bought.erase(each.sku());
  }
  for (const auto& [sku, quantity] : bought) {
    violations.push_back(
        absl::StrCat(sku, ": not in stock, but the orders have bought ", quantity));
  }
  return violations;
}

}  // namespace rolling
