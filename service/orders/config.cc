#include "service/orders/config.h"

#include "absl/flags/flag.h"

ABSL_FLAG(std::string, database, "orders.sqlite3",
          "What holds the orders: an SQLite file, created if it does not exist; or a PostgreSQL "
          "database, postgresql://USER@HOST:PORT/DATABASE, for replicas on several hosts. Put its "
          "password into PGPASSWORD or a passfile: others can read a command line.");
ABSL_FLAG(int, database_connections, 8,
          "Connections to a PostgreSQL database, beside one that listens for events.");
ABSL_FLAG(std::int64_t, keep_events, 0,
          "Events that are kept for watchers that resume; older ones are removed, orders never; "
          "0: all are kept.");
ABSL_FLAG(std::string, inventory, "127.0.0.1:50052",
          "Where the inventory server listens: HOST:PORT.");
ABSL_FLAG(std::string, inventory_tls_ca, "",
          "Call the inventory with TLS: PEM file with the CAs that sign its certificate; empty: "
          "plaintext.");
ABSL_FLAG(std::string, inventory_tls_certificate, "",
          "Mutual TLS: PEM file with the certificate that the inventory is shown.");
ABSL_FLAG(std::string, inventory_tls_key, "", "PEM file with that certificate's private key.");
ABSL_FLAG(std::string, inventory_tls_name, "",
          "The name in the inventory's certificate; empty: the host of --inventory.");

namespace orders {

Config ConfigFromFlags() {
  return {.database = absl::GetFlag(FLAGS_database),
          .database_connections = absl::GetFlag(FLAGS_database_connections),
          .keep_events = absl::GetFlag(FLAGS_keep_events),
          .inventory = absl::GetFlag(FLAGS_inventory),
          .inventory_tls = {.certificate = absl::GetFlag(FLAGS_inventory_tls_certificate),
                            .key = absl::GetFlag(FLAGS_inventory_tls_key),
                            .ca = absl::GetFlag(FLAGS_inventory_tls_ca)},
          .inventory_tls_name = absl::GetFlag(FLAGS_inventory_tls_name)};
}

}  // namespace orders
