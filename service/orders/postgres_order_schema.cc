#include "service/orders/postgres_order_schema.h"

namespace orders {

const postgres::Schema& PostgresOrderSchema() {
  static const auto* const kSchema =
      new postgres::Schema{.application = "orders", .migrations = {R"sql(
    CREATE TABLE database_identity (id text NOT NULL);
    INSERT INTO database_identity VALUES (replace(gen_random_uuid()::text, '-', ''));

    -- Oldest first by `position`.
    CREATE TABLE orders (
      position       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      order_id       text COLLATE "C" NOT NULL UNIQUE,
      request_id     text COLLATE "C" NOT NULL UNIQUE,
      reservation_id text COLLATE "C" NOT NULL,
      state          bigint NOT NULL,  -- orders.v1.OrderState
      items          jsonb NOT NULL,   -- {"sku": quantity}
      body           bytea NOT NULL    -- orders.v1.Order as it was placed; its state is the column
    );

    -- One row. Whoever appends to the log locks it first: see PostgresOrderStore.
    CREATE TABLE log (last bigint NOT NULL);
    INSERT INTO log VALUES (0);

    -- Rows are added at the end and removed at the beginning. An event is its order with this state.
    CREATE TABLE events (
      sequence bigint PRIMARY KEY,
      position bigint NOT NULL REFERENCES orders,
      state    bigint NOT NULL
    );

    CREATE TABLE outbox (
      id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
      kind       bigint NOT NULL,  -- OutboxItem::Kind
      position   bigint NOT NULL REFERENCES orders,
      attempts   bigint NOT NULL DEFAULT 0,
      created_at timestamptz NOT NULL DEFAULT now(),
      due_at     timestamptz NOT NULL DEFAULT now()
    );
    CREATE INDEX outbox_due ON outbox (due_at, id);
    CREATE INDEX outbox_position ON outbox (position);

    -- One row, or none yet.
    CREATE TABLE sales_totals (
      one        boolean PRIMARY KEY DEFAULT true CHECK (one),
      sequence   bigint NOT NULL,
      skus       text[] NOT NULL,
      quantities bigint[] NOT NULL,
      checksum   bigint NOT NULL
    );
    CREATE TABLE sales_totals_damaged (LIKE sales_totals);
  )sql"}};
  return *kSchema;
}

}  // namespace orders
