#ifndef SERVICE_INVENTORY_STOCK_FLAG_H_
#define SERVICE_INVENTORY_STOCK_FLAG_H_

#include <string>

#include "absl/status/statusor.h"
#include "service/inventory/stock_store.h"

namespace inventory {

// Parses "apple=1000,pear=500". INVALID_ARGUMENT, with a sentence that names the part: not
// SKU=QUANTITY, a quantity that is not a whole number of at least 0, or a SKU that occurs twice, is
// longer than the proto allows, begins or ends with a space, or is not printable UTF-8.
absl::StatusOr<StockStore::Quantities> ParseStock(const std::string& text);

}  // namespace inventory

#endif  // SERVICE_INVENTORY_STOCK_FLAG_H_
