#include "service/orders/sqlite_order_schema.h"

namespace orders {
namespace {

constexpr char kFirst[] = R"sql(
    -- Oldest first by `position`. `body` is the order as its last event left it.
    CREATE TABLE orders (
      position   INTEGER PRIMARY KEY,
      order_id   TEXT NOT NULL UNIQUE,
      request_id TEXT NOT NULL UNIQUE,
      body       BLOB NOT NULL  -- orders.v1.Order
    ) STRICT;

    -- Rows are added at the end. The oldest may be removed, the last never is: the next sequence is
    -- one more than that.
    CREATE TABLE events (
      sequence INTEGER PRIMARY KEY,
      body     BLOB NOT NULL  -- orders.v1.Order
    ) STRICT;

    -- AUTOINCREMENT: the id of an item that is gone never comes back.
    CREATE TABLE outbox (
      id             INTEGER PRIMARY KEY AUTOINCREMENT,
      order_id       TEXT NOT NULL REFERENCES orders (order_id),
      reservation_id TEXT NOT NULL
    ) STRICT;

    CREATE TABLE sales_totals (
      sku      TEXT PRIMARY KEY,
      quantity INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;

    -- One row: up to which event sales_totals counts.
    CREATE TABLE sales_totals_reach (sequence INTEGER NOT NULL) STRICT;
    INSERT INTO sales_totals_reach VALUES (0);
  )sql";

// Times are Unix times in milliseconds; 0: not known, long ago.
constexpr char kLeasesAndIdentity[] = R"sql(
    ALTER TABLE outbox ADD COLUMN kind INTEGER NOT NULL DEFAULT 0;  -- OutboxItem::Kind
    ALTER TABLE outbox ADD COLUMN created_at INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE outbox ADD COLUMN due_at INTEGER NOT NULL DEFAULT 0;  -- Leased until then.
    ALTER TABLE outbox ADD COLUMN attempts INTEGER NOT NULL DEFAULT 0;
    CREATE INDEX outbox_by_due ON outbox (due_at);
    CREATE INDEX outbox_by_order ON outbox (order_id);

    ALTER TABLE orders ADD COLUMN reservation_id TEXT NOT NULL DEFAULT '';
    UPDATE orders SET reservation_id = outbox.reservation_id
      FROM outbox WHERE outbox.order_id = orders.order_id;

    -- The checksum of the totals that reach up to checked_sequence. Programs that do not know it
    -- store totals that reach further.
    ALTER TABLE sales_totals_reach ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE sales_totals_reach ADD COLUMN checked_sequence INTEGER NOT NULL DEFAULT -1;
    -- Totals whose checksum was wrong, for whoever wants to know why.
    CREATE TABLE sales_totals_damaged (
      sku      TEXT NOT NULL,
      quantity INTEGER NOT NULL,
      sequence INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE database_identity (id TEXT NOT NULL) STRICT;
    INSERT INTO database_identity VALUES (lower(hex(randomblob(16))));
  )sql";

}  // namespace

const sqlite::Schema& SqliteOrderSchema() {
  static const auto* const kSchema = new sqlite::Schema{
      .application_id = 0x4f524452,  // "ORDR"
      .migrations = {kFirst, kLeasesAndIdentity},
  };
  return *kSchema;
}

}  // namespace orders
