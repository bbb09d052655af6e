#include "service/orders/stored_order.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "service/orders/fnv1a.h"

namespace orders {

absl::StatusOr<OrderStore::Placed> AnswerTo(const v1::Order& wanted, OrderStore::Placed stored) {
  if (SameContent(stored.order, wanted)) return stored;
  return absl::AlreadyExistsError(
      absl::StrCat("request_id ", wanted.request_id(), " was used for another order"));
}

std::int64_t Checksum(const SalesTotals& totals) {
  std::string text = absl::StrCat(totals.sequence);
  for (const auto& [sku, quantity] : totals.quantity_by_sku) {
    absl::StrAppend(&text, " ", sku.size(), " ", sku, " ", quantity);
  }
  return static_cast<std::int64_t>(Fnv1a(text));
}

}  // namespace orders
