#ifndef SERVICE_ORDERS_POSTGRES_ORDER_SCHEMA_H_
#define SERVICE_ORDERS_POSTGRES_ORDER_SCHEMA_H_

#include "service/postgres/migrations.h"

namespace orders {

// The tables of PostgresOrderStore.
const postgres::Schema& PostgresOrderSchema();

}  // namespace orders

#endif  // SERVICE_ORDERS_POSTGRES_ORDER_SCHEMA_H_
