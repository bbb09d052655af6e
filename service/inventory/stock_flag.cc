#include "service/inventory/stock_flag.h"

#include <cstdint>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "service/observability/printable.h"
#include "service/rpc/field_length.h"

namespace inventory {

absl::StatusOr<StockStore::Quantities> ParseStock(const std::string& text) {
  StockStore::Quantities stock;
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  for (const std::string& part : parts) {
    const std::vector<std::string> pair = absl::StrSplit(part, '=');
    std::int64_t quantity = 0;
    if (pair.size() != 2 || !absl::SimpleAtoi(pair[1], &quantity) || quantity < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", part, "\" is not SKU=QUANTITY, as in apple=1000,pear=500"));
    }
    const std::string& sku = pair[0];
    // It would be in the database for good, and no answer with it could be sent if it is not UTF-8.
    if (sku.empty() || rpc::CountCharacters(sku) > StockStore::kLongestSku ||
        absl::StripAsciiWhitespace(sku) != sku || observability::Printable(sku) != sku) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", sku, "\" is no SKU: it needs 1 to ", StockStore::kLongestSku,
                       " characters of printable UTF-8, and no space before or behind them"));
    }
    if (!stock.emplace(sku, quantity).second) {
      return absl::InvalidArgumentError(absl::StrCat(sku, " stands there twice"));
    }
  }
  return stock;
}

}  // namespace inventory
