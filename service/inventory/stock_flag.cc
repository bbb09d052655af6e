#include "service/inventory/stock_flag.h"

#include <cstdint>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "service/rpc/field_length.h"

namespace inventory {

absl::StatusOr<StockStore::Quantities> ParseStock(const std::string& text) {
  constexpr std::size_t kLongestSku = 64;
  StockStore::Quantities stock;
  const std::vector<std::string> parts = absl::StrSplit(text, ',');
  for (const std::string& part : parts) {
    const std::vector<std::string> pair = absl::StrSplit(part, '=');
    std::int64_t quantity = 0;
    if (pair.size() != 2 || pair[0].empty() || rpc::CountCharacters(pair[0]) > kLongestSku ||
        !absl::SimpleAtoi(pair[1], &quantity) || quantity < 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("\"", part, "\" is not SKU=QUANTITY, as in apple=1000,pear=500"));
    }
    if (!stock.emplace(pair[0], quantity).second) {
      return absl::InvalidArgumentError(absl::StrCat(pair[0], " stands there twice"));
    }
  }
  return stock;
}

}  // namespace inventory
