#include "service/orders/config.h"

#include "absl/flags/flag.h"

ABSL_FLAG(std::string, database, "orders.sqlite3",
          "What holds the orders: an SQLite file, created if it does not exist; or a PostgreSQL "
          "database, postgresql://USER@HOST:PORT/DATABASE, for replicas on several hosts. Put its "
          "password into PGPASSWORD or a passfile: others can read a command line.");
ABSL_FLAG(int, database_connections, 8,
          "Connections to a PostgreSQL database, beside one that listens for events.");
ABSL_FLAG(std::string, inventory, "127.0.0.1:50052",
          "Where the inventory server listens: HOST:PORT.");

namespace orders {

Config ConfigFromFlags() {
  return {.database = absl::GetFlag(FLAGS_database),
          .database_connections = absl::GetFlag(FLAGS_database_connections),
          .inventory = absl::GetFlag(FLAGS_inventory)};
}

}  // namespace orders
