#ifndef SERVICE_ORDERS_CONFIG_H_
#define SERVICE_ORDERS_CONFIG_H_

#include <string>

namespace orders {

// What the command line says to the orders service alone.
struct Config {
  // --database: the SQLite file that holds the orders, or the URL of a PostgreSQL database.
  std::string database;
  // --database_connections: to PostgreSQL, at most.
  int database_connections = 0;
  // --inventory: where the inventory serves, HOST:PORT.
  std::string inventory;
};

// Requires: the command line was parsed.
Config ConfigFromFlags();

}  // namespace orders

#endif  // SERVICE_ORDERS_CONFIG_H_
