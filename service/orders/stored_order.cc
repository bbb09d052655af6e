#include "service/orders/stored_order.h"

#include "absl/strings/str_cat.h"

namespace orders {

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
