#include "service/orders/config.h"

#include "absl/flags/flag.h"

ABSL_FLAG(std::string, database, "orders.sqlite3",
          "File that holds the orders; created if it does not exist.");
ABSL_FLAG(std::string, inventory, "127.0.0.1:50052",
          "Where the inventory server listens: HOST:PORT.");

namespace orders {

Config ConfigFromFlags() {
  return {.database = absl::GetFlag(FLAGS_database), .inventory = absl::GetFlag(FLAGS_inventory)};
}

}  // namespace orders
