#ifndef SERVICE_ORDERS_CONFIG_H_
#define SERVICE_ORDERS_CONFIG_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "service/rpc/tls/tls_files.h"

namespace orders {

// What the command line says to the orders service alone.
struct Config {
  // --database: the SQLite file that holds the orders, or the URL of a PostgreSQL database.
  std::string database;
  // --database_connections: to PostgreSQL, at most.
  int database_connections = 0;
  // --keep_events: the last so many; 0: all.
  std::int64_t keep_events = 0;
  // --inventory: where the inventory serves, HOST:PORT.
  std::string inventory;
  // --inventory_tls_...; without a CA: plaintext.
  rpc::TlsFiles::Paths inventory_tls;
  std::string inventory_tls_name;
};

// Requires: the command line was parsed.
//
// Errors: INVALID_ARGUMENT with the flag and what it must be.
absl::StatusOr<Config> ConfigFromFlags();

}  // namespace orders

#endif  // SERVICE_ORDERS_CONFIG_H_
