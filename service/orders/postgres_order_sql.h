#ifndef SERVICE_ORDERS_POSTGRES_ORDER_SQL_H_
#define SERVICE_ORDERS_POSTGRES_ORDER_SQL_H_

namespace orders::sql {

// The longer statements of PostgresOrderStore, on the tables of postgres_order_schema.cc. Those that
// append to the log expect it locked: see PostgresOrderStore.

// $1 to $5: the order. Returns a row if it is new.
inline constexpr char kPlace[] = R"sql(
  WITH placed AS (
    INSERT INTO orders (order_id, request_id, reservation_id, state, items, body)
      VALUES ($1, $2, $3, 1, $4::jsonb, $5)
      ON CONFLICT (request_id) DO NOTHING
      RETURNING position
  ), queued AS (
    INSERT INTO outbox (kind, position) SELECT 0, position FROM placed
  ), head AS (
    UPDATE log SET last = last + (SELECT count(*) FROM placed) RETURNING last
  )
  INSERT INTO events (sequence, position, state) SELECT last, position, 1 FROM placed, head
    RETURNING sequence
)sql";

// $1: the order; does nothing to one that is cancelled, nor to one that somebody else has locked: see
// kSettle.
inline constexpr char kCancel[] = R"sql(
  WITH free AS (
    SELECT position FROM orders WHERE order_id = $1 AND state <> 3
      FOR NO KEY UPDATE SKIP LOCKED
  ), cancelled AS (
    UPDATE orders SET state = 3 FROM free WHERE orders.position = free.position
      RETURNING orders.position
  ), removed AS (
    DELETE FROM outbox USING cancelled WHERE outbox.position = cancelled.position
  ), queued AS (
    INSERT INTO outbox (kind, position) SELECT 1, position FROM cancelled
  ), head AS (
    UPDATE log SET last = last + (SELECT count(*) FROM cancelled) RETURNING last
  )
  INSERT INTO events (sequence, position, state) SELECT last, position, 3 FROM cancelled, head
)sql";

// $1, $2: arrays of items and of states, 0 for none. Returns how many it has removed, and how many it
// has left because somebody else has locked them: to wait for them here, with the log locked, would
// stop all replicas.
inline constexpr char kSettle[] = R"sql(
  WITH settled AS (
    SELECT settled.id, settled.state, number
      FROM unnest($1, $2) WITH ORDINALITY AS settled (id, state, number)
      JOIN outbox USING (id) JOIN orders USING (position)
      FOR UPDATE OF outbox SKIP LOCKED FOR NO KEY UPDATE OF orders SKIP LOCKED
  ), removed AS (
    DELETE FROM outbox USING settled WHERE outbox.id = settled.id
      RETURNING outbox.position, settled.state, settled.number
  ), changed AS (
    UPDATE orders SET state = removed.state FROM removed
      WHERE orders.position = removed.position AND removed.state <> 0
      RETURNING orders.position, removed.state, removed.number
  ), head AS (
    UPDATE log SET last = last + (SELECT count(*) FROM changed) RETURNING last
  ), logged AS (
    INSERT INTO events (sequence, position, state)
      SELECT last - count(*) OVER () + row_number() OVER (ORDER BY number), position, state
      FROM changed, head
  )
  -- The outbox as it was before this statement.
  SELECT count(*), (SELECT count(*) FROM outbox WHERE id = ANY ($1)) - count(*) FROM removed
)sql";

// $1: how many; $2, $3: the lease and kLatestDue in milliseconds. What another process is
// claiming is left to it.
inline constexpr char kClaim[] = R"sql(
  WITH due AS (
    SELECT id, due_at FROM outbox
      WHERE due_at <= now() OR due_at > now() + $3 * interval '1 millisecond'
      ORDER BY due_at, id LIMIT $1
      FOR UPDATE SKIP LOCKED
  ), claimed AS (
    UPDATE outbox SET due_at = now() + $2 * interval '1 millisecond', attempts = attempts + 1
      FROM due WHERE outbox.id = due.id
      RETURNING outbox.id, kind, position, attempts, due.due_at AS was_due_at
  )
  SELECT id, kind, order_id, reservation_id, attempts,
         (extract(epoch FROM was_due_at) * 1000000)::bigint
    FROM claimed JOIN orders USING (position) ORDER BY was_due_at, id
)sql";

// $1: an array of items; $2: the delay. What somebody settles now is left to them.
inline constexpr char kPostpone[] = R"sql(
  UPDATE outbox SET due_at = now() + $2 * interval '1 millisecond'
    WHERE id IN (SELECT id FROM outbox WHERE id = ANY ($1) FOR UPDATE SKIP LOCKED)
)sql";

// $1, $2, $3: arrays of items, of when they became due in microseconds, and of attempts. What somebody
// settles now is left to them.
inline constexpr char kGiveBack[] = R"sql(
  WITH given AS (
    SELECT id, given.due_at, given.attempts
      FROM unnest($1, $2, $3) AS given (id, due_at, attempts)
      JOIN outbox USING (id, attempts)
      FOR UPDATE OF outbox SKIP LOCKED
  )
  UPDATE outbox SET attempts = given.attempts - 1,
      due_at = least(now(), timestamptz 'epoch' + given.due_at * interval '1 microsecond')
    FROM given WHERE outbox.id = given.id
)sql";

// How many, and the ages in milliseconds of the oldest and of the oldest to be confirmed.
inline constexpr char kBacklog[] = R"sql(
  SELECT depth, ceil(abs(extract(epoch FROM clock_timestamp() - oldest)) * 1000)::bigint,
         ceil(abs(extract(epoch FROM clock_timestamp() - oldest_confirm)) * 1000)::bigint
    FROM (SELECT (SELECT count(*) FROM outbox) AS depth,
                 (SELECT created_at FROM outbox ORDER BY id LIMIT 1) AS oldest,
                 (SELECT created_at FROM outbox WHERE kind = 0 ORDER BY id LIMIT 1)
                   AS oldest_confirm) AS backlog
)sql";

// $1: below which sequence. So many at once that nobody waits long. Returns how many.
inline constexpr char kTrim[] = R"sql(
  WITH removed AS (
    DELETE FROM events WHERE sequence IN (
      SELECT sequence FROM events
        WHERE sequence < $1 AND sequence < (SELECT last FROM log)
          AND sequence <= COALESCE((SELECT sequence FROM sales_totals), 0)
        ORDER BY sequence LIMIT 10000)
      RETURNING 1
  )
  SELECT count(*) FROM removed
)sql";

// Each SKU with its quantity, and the log's end of the same moment; one row at least.
inline constexpr char kComputeTotals[] = R"sql(
  SELECT last, sku, quantity FROM log LEFT JOIN (
    SELECT key AS sku, COALESCE(sum(value::bigint) FILTER (WHERE state <> 3), 0)::bigint AS quantity
      FROM orders, jsonb_each_text(items) GROUP BY key
  ) AS sold ON true
)sql";

// $1: the version of the row that is damaged. Another replica may have put it right meanwhile.
inline constexpr char kPutDamagedTotalsAside[] = R"sql(
  WITH damaged AS (DELETE FROM sales_totals WHERE xmin::text = $1 RETURNING *)
  INSERT INTO sales_totals_damaged SELECT * FROM damaged
)sql";

inline constexpr char kSaveTotals[] = R"sql(
  INSERT INTO sales_totals (sequence, skus, quantities, checksum) VALUES ($1, $2, $3, $4)
    ON CONFLICT (one) DO UPDATE
      SET sequence = excluded.sequence, skus = excluded.skus, quantities = excluded.quantities,
          checksum = excluded.checksum
      WHERE sales_totals.sequence < excluded.sequence
)sql";

}  // namespace orders::sql

#endif  // SERVICE_ORDERS_POSTGRES_ORDER_SQL_H_
