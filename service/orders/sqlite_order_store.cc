#include "service/orders/sqlite_order_store.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"

namespace orders {
namespace {

using orders::v1::Order;

const sqlite::Schema& OrdersSchema() {
  static const auto* const kSchema = new sqlite::Schema{.application_id = 0x4f524452,  // "ORDR"
                                                        .migrations = {R"sql(
        -- Oldest first by `position`. `body` is the order as its last event left it.
        CREATE TABLE orders (
          position   INTEGER PRIMARY KEY,
          order_id   TEXT NOT NULL UNIQUE,
          request_id TEXT NOT NULL UNIQUE,
          body       BLOB NOT NULL  -- orders.v1.Order
        ) STRICT;

        -- Rows are added at the end and never removed.
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
      )sql"}};
  return *kSchema;
}

absl::StatusOr<Order> Parse(const std::string& body) {
  Order order;
  if (!order.ParseFromString(body)) {
    return absl::DataLossError("database: a stored order cannot be read");
  }
  return order;
}

sqlite::Blob Serialize(const Order& order) { return {order.SerializeAsString()}; }

// The one order in `row`, unset when there is no row.
absl::StatusOr<std::optional<Order>> OnlyOrder(sqlite::Statement row) {
  if (!row.Next()) {
    if (!row.status().ok()) return row.status();
    return std::optional<Order>();
  }
  absl::StatusOr<Order> order = Parse(row.String(0));
  if (!order.ok()) return order.status();
  return std::optional<Order>(*std::move(order));
}

absl::StatusOr<std::optional<Order>> FindByRequestIdIn(sqlite::Database& database,
                                                       const std::string& request_id) {
  return OnlyOrder(database.Query("SELECT body FROM orders WHERE request_id = ?", request_id));
}

absl::StatusOr<std::optional<Order>> FindIn(sqlite::Database& database,
                                            const std::string& order_id) {
  return OnlyOrder(database.Query("SELECT body FROM orders WHERE order_id = ?", order_id));
}

absl::Status AppendEvent(sqlite::Database& database, const Order& order) {
  return database.Run("INSERT INTO events (body) VALUES (?)", Serialize(order));
}

std::map<std::string, std::int64_t> QuantityBySku(const Order& order) {
  std::map<std::string, std::int64_t> quantities;
  for (const orders::v1::OrderItem& item : order.items()) {
    quantities[item.sku()] += item.quantity();
  }
  return quantities;
}

bool SameWish(const Order& one, const Order& other) {
  return one.customer() == other.customer() && QuantityBySku(one) == QuantityBySku(other);
}

// SQLite takes a negative limit for none.
std::int64_t Limit(int limit) { return std::max(limit, 0); }

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteOrderStore>> SqliteOrderStore::Open(const std::string& path) {
  absl::StatusOr<std::unique_ptr<sqlite::Connections>> connections =
      sqlite::Connections::Open(path, OrdersSchema(), {});
  if (!connections.ok()) return connections.status();
  return std::unique_ptr<SqliteOrderStore>(new SqliteOrderStore(*std::move(connections)));
}

absl::StatusOr<OrderStore::Placed> SqliteOrderStore::Place(const Order& order,
                                                           const std::string& reservation_id) {
  absl::StatusOr<sqlite::Connections::Loan> writer = connections_->Writer();
  if (!writer.ok()) return writer.status();
  sqlite::Database& database = **writer;
  absl::StatusOr<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database);
  if (!transaction.ok()) return transaction.status();

  absl::StatusOr<std::optional<Order>> present = FindByRequestIdIn(database, order.request_id());
  if (!present.ok()) return present.status();
  if (*present) {
    if (SameWish(**present, order)) return Placed{.order = **std::move(present), .created = false};
    return absl::AlreadyExistsError(
        absl::StrCat("request_id ", order.request_id(), " was used for another order"));
  }

  Placed placed{.order = order, .created = true};
  placed.order.set_state(orders::v1::ORDER_STATE_PLACED);
  absl::Status status =
      database.Run("INSERT INTO orders (order_id, request_id, body) VALUES (?, ?, ?)",
                   order.order_id(), order.request_id(), Serialize(placed.order));
  if (status.ok()) status = AppendEvent(database, placed.order);
  if (status.ok()) {
    status = database.Run("INSERT INTO outbox (order_id, reservation_id) VALUES (?, ?)",
                          order.order_id(), reservation_id);
  }
  if (status.ok()) status = transaction->Commit();
  if (!status.ok()) return status;
  return placed;
}

absl::StatusOr<std::optional<Order>> SqliteOrderStore::FindByRequestId(
    const std::string& request_id) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader();
  if (!reader.ok()) return reader.status();
  return FindByRequestIdIn(**reader, request_id);
}

absl::StatusOr<std::optional<Order>> SqliteOrderStore::Find(const std::string& order_id) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader();
  if (!reader.ok()) return reader.status();
  return FindIn(**reader, order_id);
}

absl::StatusOr<OrderStore::Page> SqliteOrderStore::List(std::int64_t from, int limit) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader();
  if (!reader.ok()) return reader.status();
  Page page;
  // One more than asked for tells where the next page begins.
  sqlite::Statement rows = (*reader)->Query(
      "SELECT position, body FROM orders WHERE position >= ? ORDER BY position LIMIT ? + 1", from,
      Limit(limit));
  while (rows.Next()) {
    if (page.orders.size() == static_cast<std::size_t>(Limit(limit))) {
      page.next = rows.Int64(0);
      break;
    }
    absl::StatusOr<Order> order = Parse(rows.String(1));
    if (!order.ok()) return order.status();
    page.orders.push_back(*std::move(order));
  }
  if (!rows.status().ok()) return rows.status();
  return page;
}

absl::StatusOr<std::vector<OrderEvent>> SqliteOrderStore::EventsAfter(std::int64_t after,
                                                                      int limit) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader();
  if (!reader.ok()) return reader.status();
  std::vector<OrderEvent> events;
  sqlite::Statement rows = (*reader)->Query(
      "SELECT sequence, body FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?", after,
      Limit(limit));
  while (rows.Next()) {
    absl::StatusOr<Order> order = Parse(rows.String(1));
    if (!order.ok()) return order.status();
    events.push_back({rows.Int64(0), *std::move(order)});
  }
  if (!rows.status().ok()) return rows.status();
  return events;
}

absl::StatusOr<std::int64_t> SqliteOrderStore::LastSequence() {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader();
  if (!reader.ok()) return reader.status();
  sqlite::Statement row = (*reader)->Query("SELECT max(sequence) FROM events");
  if (!row.Next()) return row.status();
  return row.Int64(0);
}

absl::StatusOr<std::vector<OutboxItem>> SqliteOrderStore::Outbox(std::int64_t after, int limit) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader();
  if (!reader.ok()) return reader.status();
  std::vector<OutboxItem> items;
  sqlite::Statement rows = (*reader)->Query(
      "SELECT id, order_id, reservation_id FROM outbox WHERE id > ? ORDER BY id LIMIT ?", after,
      Limit(limit));
  while (rows.Next()) items.push_back({rows.Int64(0), rows.String(1), rows.String(2)});
  if (!rows.status().ok()) return rows.status();
  return items;
}

absl::Status SqliteOrderStore::Settle(const OutboxItem& item, orders::v1::OrderState state) {
  absl::StatusOr<sqlite::Connections::Loan> writer = connections_->Writer();
  if (!writer.ok()) return writer.status();
  sqlite::Database& database = **writer;
  absl::StatusOr<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database);
  if (!transaction.ok()) return transaction.status();

  absl::Status status = database.Run("DELETE FROM outbox WHERE id = ?", item.id);
  if (!status.ok()) return status;
  if (database.Changes() == 0) return absl::OkStatus();
  absl::StatusOr<std::optional<Order>> order = FindIn(database, item.order_id);
  if (!order.ok()) return order.status();
  if (!*order) return absl::DataLossError("database: an outbox item's order is not there");
  (*order)->set_state(state);
  status = database.Run("UPDATE orders SET body = ? WHERE order_id = ?", Serialize(**order),
                        item.order_id);
  if (status.ok()) status = AppendEvent(database, **order);
  if (status.ok()) status = transaction->Commit();
  return status;
}

absl::StatusOr<SalesTotals> SqliteOrderStore::LoadTotals() {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader();
  if (!reader.ok()) return reader.status();
  SalesTotals totals;
  // One statement, so that both tables are of the same moment.
  sqlite::Statement rows = (*reader)->Query(
      "SELECT sequence, sku, quantity FROM sales_totals_reach LEFT JOIN sales_totals ON true");
  while (rows.Next()) {
    totals.sequence = rows.Int64(0);
    if (const std::string sku = rows.String(1); !sku.empty()) {
      totals.quantity_by_sku[sku] = rows.Int64(2);
    }
  }
  if (!rows.status().ok()) return rows.status();
  return totals;
}

absl::Status SqliteOrderStore::SaveTotals(const SalesTotals& totals) {
  absl::StatusOr<sqlite::Connections::Loan> writer = connections_->Writer();
  if (!writer.ok()) return writer.status();
  sqlite::Database& database = **writer;
  absl::StatusOr<sqlite::Transaction> transaction = sqlite::Transaction::Begin(database);
  if (!transaction.ok()) return transaction.status();

  absl::Status status = database.Run(
      "UPDATE sales_totals_reach SET sequence = ?1 WHERE sequence < ?1", totals.sequence);
  if (!status.ok()) return status;
  // What is stored reaches as far or further.
  if (database.Changes() == 0) return absl::OkStatus();
  status = database.Run("DELETE FROM sales_totals");
  for (const auto& [sku, quantity] : totals.quantity_by_sku) {
    if (status.ok()) {
      status = database.Run("INSERT INTO sales_totals (sku, quantity) VALUES (?, ?)", sku,
                            std::int64_t{quantity});
    }
  }
  if (status.ok()) status = transaction->Commit();
  return status;
}

}  // namespace orders
