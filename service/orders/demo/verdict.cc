#include "service/orders/demo/verdict.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace demo {
namespace {

using inventory::v1::Stock;
using orders::v1::Order;

Finding Kept(std::string promise, std::string proof) {
  return {true, std::move(promise), std::move(proof)};
}

Finding Broken(std::string promise, std::string proof) {
  return {false, std::move(promise), std::move(proof)};
}

Finding StoredExactlyOnce(const Evidence& evidence) {
  const std::string promise = "every acknowledged order is stored exactly once";
  // By request id: that is what the caller means by "the same order".
  std::map<std::string, std::vector<const Order*>> stored;
  for (const Order& order : evidence.stored) stored[order.request_id()].push_back(&order);
  for (const Order& order : evidence.acknowledged) {
    const std::vector<const Order*>& found = stored[order.request_id()];
    if (found.size() != 1) {
      return Broken(promise,
                    absl::StrFormat("order %s is stored %d times", order.order_id(), found.size()));
    }
    if (found.front()->order_id() != order.order_id()) {
      return Broken(promise, absl::StrFormat("order %s is stored as %s", order.order_id(),
                                             found.front()->order_id()));
    }
  }
  // A call that failed may have left its order behind; one that did not, has not.
  if (evidence.stored.size() > evidence.acknowledged.size() + evidence.failures.size()) {
    return Broken(promise, absl::StrFormat("%d are stored, %d were acknowledged",
                                           evidence.stored.size(), evidence.acknowledged.size()));
  }
  return Kept(promise, absl::StrFormat("%d acknowledged, %d stored", evidence.acknowledged.size(),
                                       evidence.stored.size()));
}

std::string Words(const Told& told) {
  return absl::StrCat(orders::v1::OrderState_Name(told.state), " of order ", told.order_id);
}

// To be stored is not enough: an order may never be confirmed, or be cancelled for want of stock.
Finding PlacedAndConfirmed(const Evidence& evidence) {
  const std::string promise = "every order was placed and then confirmed, once each";
  std::map<std::string, std::vector<orders::v1::OrderState>> states;
  for (const Told& told : evidence.log) states[told.order_id].push_back(told.state);
  for (const Order& order : evidence.stored) {
    if (states[order.order_id()] !=
        std::vector{orders::v1::ORDER_STATE_PLACED, orders::v1::ORDER_STATE_CONFIRMED}) {
      return Broken(promise, absl::StrFormat("order %s, now %s, has %d events", order.order_id(),
                                             orders::v1::OrderState_Name(order.state()),
                                             states[order.order_id()].size()));
    }
  }
  if (states.size() > evidence.stored.size()) {
    return Broken(promise, "there are events of orders that do not exist");
  }
  if (evidence.events != static_cast<std::int64_t>(evidence.log.size())) {
    return Broken(promise, absl::StrFormat("the log has %d events, %d were read", evidence.events,
                                           evidence.log.size()));
  }
  return Kept(promise, absl::StrFormat("%d events", evidence.log.size()));
}

Finding WatchedExactlyOnce(const Evidence& evidence) {
  const std::string promise = "every watcher saw every event exactly once, in order";
  for (std::size_t i = 0; i < evidence.watched.size(); ++i) {
    const std::vector<Told>& seen = evidence.watched[i];
    const auto [event, own] =
        std::mismatch(evidence.log.begin(), evidence.log.end(), seen.begin(), seen.end());
    if (event == evidence.log.end() && own == seen.end()) continue;
    return Broken(promise, absl::StrFormat("watcher %d saw %s instead of %s as event %d", i + 1,
                                           own == seen.end() ? "nothing" : Words(*own),
                                           event == evidence.log.end() ? "nothing" : Words(*event),
                                           own - seen.begin() + 1));
  }
  return Kept(promise,
              absl::StrFormat("%d x %d events", evidence.watched.size(), evidence.log.size()));
}

Finding NoCallFailed(const Evidence& evidence) {
  const std::string promise = "no call failed after the client library's retries";
  if (evidence.failures.empty()) {
    return Kept(promise, absl::StrFormat("%d answered", evidence.acknowledged.size()));
  }
  return Broken(promise, absl::StrFormat("%d failed, the first with %s", evidence.failures.size(),
                                         evidence.failures.front()));
}

Finding EndedWell(const Evidence& evidence) {
  const std::string promise = "the server reports a clean shutdown";
  const std::string clean = "exit code 0";
  for (const std::string& ending : evidence.endings) {
    if (ending != clean) return Broken(promise, ending);
  }
  return Kept(promise, clean);
}

Finding StockAddsUp(const Evidence& evidence) {
  const std::string promise = "the stock adds up: everything sold was ordered";
  std::map<std::string, std::int64_t> ordered;
  for (const Order& order : evidence.stored) {
    if (order.state() == orders::v1::ORDER_STATE_CANCELLED) continue;  // Another promise's matter.
    for (const orders::v1::OrderItem& item : order.items()) ordered[item.sku()] += item.quantity();
  }
  std::int64_t taken = 0;
  for (const Stock& stock : evidence.stock) {
    if (stock.initial() != stock.available() + stock.reserved() + stock.confirmed()) {
      return Broken(promise, absl::StrFormat("%s: %d initial, %d available, %d reserved, %d "
                                             "confirmed",
                                             stock.sku(), stock.initial(), stock.available(),
                                             stock.reserved(), stock.confirmed()));
    }
    // Only what is confirmed is sold.
    if (stock.reserved() != 0 || stock.confirmed() != ordered[stock.sku()]) {
      return Broken(promise,
                    absl::StrFormat("%s: %d reserved and %d confirmed, but %d ordered", stock.sku(),
                                    stock.reserved(), stock.confirmed(), ordered[stock.sku()]));
    }
    taken += ordered[stock.sku()];
    ordered.erase(stock.sku());
  }
  if (!ordered.empty()) {
    return Broken(promise,
                  absl::StrCat(ordered.begin()->first, " was ordered but is not in stock"));
  }
  return Kept(promise, absl::StrFormat("%d sold of %d SKUs", taken, evidence.stock.size()));
}

}  // namespace

std::vector<Finding> Judge(const Evidence& evidence) {
  return {StoredExactlyOnce(evidence), PlacedAndConfirmed(evidence), WatchedExactlyOnce(evidence),
          NoCallFailed(evidence),      EndedWell(evidence),          StockAddsUp(evidence)};
}

}  // namespace demo
