#include "service/orders/config.h"

#include "absl/flags/flag.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

ABSL_FLAG(std::string, database, "orders.sqlite3",
          "What holds the orders: an SQLite file, created if it does not exist; or a PostgreSQL "
          "database, postgresql://USER@HOST:PORT/DATABASE, for replicas on several hosts. Put its "
          "password into PGPASSWORD or a passfile: others can read a command line.");
ABSL_FLAG(
    int, database_connections, 8,
    "Connections to a PostgreSQL database, beside one that writes orders and one that listens "
    "for events.");
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
namespace {

absl::Status Check(const Config& config) {
  if (config.database.empty()) {
    return absl::InvalidArgumentError("--database must be a file or a URL, is empty");
  }
  if (config.database_connections < 1) {
    return absl::InvalidArgumentError(absl::StrCat("--database_connections must be at least 1, is ",
                                                   config.database_connections));
  }
  if (config.keep_events < 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("--keep_events must be at least 0, is ", config.keep_events));
  }
  if (config.inventory.empty()) {
    return absl::InvalidArgumentError("--inventory must be HOST:PORT, is empty");
  }
  const rpc::TlsFiles::Paths& tls = config.inventory_tls;
  if (tls.ca.empty() && !(tls.certificate.empty() && tls.key.empty())) {
    return absl::InvalidArgumentError(
        "--inventory_tls_certificate and --inventory_tls_key need --inventory_tls_ca");
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Config> ConfigFromFlags() {
  Config config = {.database = absl::GetFlag(FLAGS_database),
                   .database_connections = absl::GetFlag(FLAGS_database_connections),
                   .keep_events = absl::GetFlag(FLAGS_keep_events),
                   .inventory = absl::GetFlag(FLAGS_inventory),
                   .inventory_tls = {.certificate = absl::GetFlag(FLAGS_inventory_tls_certificate),
                                     .key = absl::GetFlag(FLAGS_inventory_tls_key),
                                     .ca = absl::GetFlag(FLAGS_inventory_tls_ca)},
                   .inventory_tls_name = absl::GetFlag(FLAGS_inventory_tls_name)};
  if (absl::Status valid = Check(config); !valid.ok()) return valid;
  return config;
}

}  // namespace orders
