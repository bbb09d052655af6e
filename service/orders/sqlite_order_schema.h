#ifndef SERVICE_ORDERS_SQLITE_ORDER_SCHEMA_H_
#define SERVICE_ORDERS_SQLITE_ORDER_SCHEMA_H_

#include "service/sqlite/database.h"

namespace orders {

// The tables of a SqliteOrderStore.
const sqlite::Schema& SqliteOrderSchema();

}  // namespace orders

#endif  // SERVICE_ORDERS_SQLITE_ORDER_SCHEMA_H_
