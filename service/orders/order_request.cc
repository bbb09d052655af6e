#include "service/orders/order_request.h"

#include <cstdint>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "service/rpc/field_length.h"
#include "service/rpc/status.h"

namespace orders {

absl::Status Validate(const v1::PlaceOrderRequest& request) {
  constexpr int kMostItems = 100;
  constexpr std::int64_t kMostOfOne = 1000000;
  rpc::BadRequest wrong;
  rpc::RequireLength(wrong, "request_id", request.request_id(), 64);
  rpc::RequireLength(wrong, "customer", request.customer(), 128);
  if (request.items().empty() || request.items_size() > kMostItems) {
    wrong.Add("items", absl::StrCat("must be 1 to ", kMostItems, ", are ", request.items_size()));
  }
  std::set<std::string> seen;
  for (int i = 0; i < request.items_size() && i < kMostItems; ++i) {
    const v1::OrderItem& item = request.items(i);
    const std::string field = absl::StrCat("items[", i, "]");
    rpc::RequireLength(wrong, field + ".sku", item.sku(), 64);
    if (!seen.insert(item.sku()).second) {
      wrong.Add(field + ".sku", absl::StrCat("stands here twice: ", item.sku()));
    }
    if (item.quantity() < 1 || item.quantity() > kMostOfOne) {
      wrong.Add(field + ".quantity",
                absl::StrCat("must be 1 to ", kMostOfOne, ", is ", item.quantity()));
    }
  }
  return wrong.ToStatus();
}

}  // namespace orders
