#include "service/orders/stored_order.h"

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace orders {

absl::StatusOr<OrderStore::Placed> AnswerTo(const v1::Order& wanted, OrderStore::Placed stored) {
  if (SameContent(stored.order, wanted)) return stored;
  return absl::AlreadyExistsError(
      absl::StrCat("request_id ", wanted.request_id(), " was used for another order"));
}

std::int64_t Checksum(const SalesTotals& totals) {
  // FNV-1a.
  std::uint64_t hash = 14695981039346656037u;
  const auto add = [&hash](const std::string& text) {
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  };
  add(absl::StrCat(totals.sequence));
  for (const auto& [sku, quantity] : totals.quantity_by_sku) {
    add(absl::StrCat(" ", sku.size(), " ", sku, " ", quantity));
  }
  return static_cast<std::int64_t>(hash);
}

}  // namespace orders
