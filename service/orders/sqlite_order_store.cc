#include "service/orders/sqlite_order_store.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/orders/sqlite_order_schema.h"
#include "service/orders/stored_order.h"

namespace orders {
namespace {

using sqlite::Database;
using sqlite::Statement;
using v1::Order;
using SteadyClock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// In one commit: others wait for that.
constexpr std::int64_t kTrimmedAtOnce = 2000;
// How late an event of another process may be.
constexpr milliseconds kLook(20);

std::int64_t NowMillis() {
  const auto since = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(since).count();
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
absl::StatusOr<std::optional<Order>> OnlyOrder(Statement row) {
  if (!row.Next()) {
    if (!row.status().ok()) return row.status();
    return std::optional<Order>();
  }
  absl::StatusOr<Order> order = Parse(row.String(0));
  if (!order.ok()) return order.status();
  return std::optional<Order>(*std::move(order));
}

absl::StatusOr<std::optional<Order>> FindByRequestIdIn(Database& database,
                                                       const std::string& request_id) {
  return OnlyOrder(database.Query("SELECT body FROM orders WHERE request_id = ?", request_id));
}

absl::StatusOr<std::optional<Order>> FindIn(Database& database, const std::string& order_id) {
  return OnlyOrder(database.Query("SELECT body FROM orders WHERE order_id = ?", order_id));
}

absl::Status AppendEvent(Database& database, const Order& order) {
  return database.Run("INSERT INTO events (body) VALUES (?)", Serialize(order));
}

absl::Status AppendConfirm(Database& database, const std::string& order_id,
                           const std::string& reservation_id) {
  const std::int64_t now = NowMillis();
  return database.Run(
      "INSERT INTO outbox (order_id, reservation_id, kind, created_at, due_at) "
      "VALUES (?, ?, ?, ?, ?)",
      order_id, reservation_id, static_cast<std::int64_t>(OutboxItem::Kind::kConfirm), now, now);
}

// Under a negative id. The first version knows no kinds: it takes everything above 0 in the outbox
// for an order to be confirmed, and would undo the cancellation. An order has one position and is
// cancelled once, so the id never comes back.
absl::Status AppendRelease(Database& database, const std::string& order_id,
                           const std::string& reservation_id) {
  const std::int64_t now = NowMillis();
  return database.Run(
      "INSERT INTO outbox (id, order_id, reservation_id, kind, created_at, due_at) "
      "SELECT -position, order_id, ?, ?, ?, ? FROM orders WHERE order_id = ?",
      reservation_id, static_cast<std::int64_t>(OutboxItem::Kind::kRelease), now, now, order_id);
}

// Gives a stored order another state, and writes the event. An older version has stored no
// reservation with the order, but in the outbox, whose item goes.
absl::Status SetState(Database& database, Order& order, const std::string& reservation_id,
                      v1::OrderState state) {
  order.set_state(state);
  absl::Status status =
      database.Run("UPDATE orders SET body = ?, reservation_id = ? WHERE order_id = ?",
                   Serialize(order), reservation_id, order.order_id());
  return status.ok() ? AppendEvent(database, order) : status;
}

// The order that has the request_id then: `wanted`, or one from before.
absl::StatusOr<OrderStore::Placed> PlaceIn(Database& database, const OrderStore::NewOrder& wanted) {
  const Order& order = wanted.order;
  absl::StatusOr<std::optional<Order>> present = FindByRequestIdIn(database, order.request_id());
  if (!present.ok()) return present.status();
  if (*present) return OrderStore::Placed{.order = **std::move(present), .created = false};
  OrderStore::Placed placed{.order = order, .created = true};
  placed.order.set_state(v1::ORDER_STATE_PLACED);
  absl::Status status = database.Run(
      "INSERT INTO orders (order_id, request_id, reservation_id, body) VALUES (?, ?, ?, ?)",
      order.order_id(), order.request_id(), wanted.reservation_id, Serialize(placed.order));
  if (status.ok()) status = AppendEvent(database, placed.order);
  if (status.ok()) {
    status = AppendConfirm(database, order.order_id(), wanted.reservation_id);
  }
  if (!status.ok()) return status;
  return placed;
}

absl::StatusOr<Order> CancelIn(Database& database, const std::string& order_id) {
  absl::StatusOr<std::optional<Order>> found = FindIn(database, order_id);
  if (!found.ok()) return found.status();
  if (!*found) return absl::NotFoundError(absl::StrCat("there is no order ", order_id));
  Order order = **std::move(found);
  if (order.state() == v1::ORDER_STATE_CANCELLED) return order;

  std::string reservation_id;
  {
    Statement row = database.Query(
        "SELECT coalesce(nullif(orders.reservation_id, ''), outbox.reservation_id) "
        "FROM orders LEFT JOIN outbox USING (order_id) WHERE order_id = ?",
        order_id);
    if (!row.Next()) return row.status();
    reservation_id = row.String(0);
  }
  if (reservation_id.empty()) {
    return absl::UnimplementedError(absl::StrCat(
        "order ", order_id, " was settled by an older version, which kept no reservation"));
  }
  absl::Status status = database.Run("DELETE FROM outbox WHERE order_id = ?", order_id);
  if (status.ok()) {
    status = AppendRelease(database, order_id, reservation_id);
  }
  if (status.ok()) status = SetState(database, order, reservation_id, v1::ORDER_STATE_CANCELLED);
  if (!status.ok()) return status;
  return order;
}

// Whether the item was there.
absl::StatusOr<bool> SettleIn(Database& database, const Settlement& settlement) {
  absl::Status status = database.Run("DELETE FROM outbox WHERE id = ?", settlement.item.id);
  if (!status.ok()) return status;
  if (database.Changes() == 0) return false;
  if (!settlement.state) return true;
  absl::StatusOr<std::optional<Order>> order = FindIn(database, settlement.item.order_id);
  if (!order.ok()) return order.status();
  if (!*order) return absl::DataLossError("database: an outbox item's order is not there");
  status = SetState(database, **order, settlement.item.reservation_id, *settlement.state);
  if (!status.ok()) return status;
  return true;
}

absl::StatusOr<std::vector<OutboxItem>> ClaimIn(Database& database, int limit, milliseconds lease) {
  const std::int64_t now = NowMillis();
  absl::Status status = database.Run("UPDATE outbox SET due_at = ? WHERE due_at > ?", now,
                                     now + OrderStore::kLatestDue.count());
  if (!status.ok()) return status;
  std::vector<OutboxItem> items;
  {
    Statement rows = database.Query(
        "SELECT id, kind, order_id, reservation_id, attempts + 1, due_at FROM outbox "
        "WHERE due_at <= ? ORDER BY due_at, id LIMIT ?",
        now, std::int64_t{limit});
    while (rows.Next()) {
      items.push_back({.id = rows.Int64(0),
                       .kind = static_cast<OutboxItem::Kind>(rows.Int64(1)),
                       .order_id = rows.String(2),
                       .reservation_id = rows.String(3),
                       .attempts = static_cast<int>(rows.Int64(4)),
                       .due_at = rows.Int64(5)});
    }
    if (!rows.status().ok()) return rows.status();
  }
  for (const OutboxItem& item : items) {
    status = database.Run("UPDATE outbox SET due_at = ?, attempts = ? WHERE id = ?",
                          now + lease.count(), std::int64_t{item.attempts}, item.id);
    if (!status.ok()) return status;
  }
  return items;
}

absl::StatusOr<SalesTotals> LoadTotalsIn(Database& database) {
  SalesTotals totals;
  std::int64_t checksum = 0;
  bool checked = false;
  // One statement, so that both tables are of the same moment.
  Statement rows = database.Query(
      "SELECT sequence, checked_sequence = sequence, checksum, sku, quantity "
      "FROM sales_totals_reach LEFT JOIN sales_totals ON true");
  while (rows.Next()) {
    totals.sequence = rows.Int64(0);
    checked = rows.Int64(1) != 0;
    checksum = rows.Int64(2);
    if (const std::string sku = rows.String(3); !sku.empty()) {
      totals.quantity_by_sku[sku] = rows.Int64(4);
    }
  }
  if (!rows.status().ok()) return rows.status();
  if (checked && checksum != Checksum(totals)) {
    return absl::DataLossError("database: the checksum of the saved sales totals is wrong");
  }
  return totals;
}

absl::Status PutDamagedTotalsAside(Database& database) {
  return database.RunScript(
      "DELETE FROM sales_totals_damaged;"
      "INSERT INTO sales_totals_damaged SELECT sku, quantity, sequence "
      "  FROM sales_totals, sales_totals_reach;"
      "UPDATE sales_totals_reach SET sequence = -1");
}

absl::Status SaveTotalsIn(Database& database, const SalesTotals& totals) {
  absl::Status status = LoadTotalsIn(database).status();
  if (absl::IsDataLoss(status)) status = PutDamagedTotalsAside(database);
  if (!status.ok()) return status;
  status = database.Run(
      "UPDATE sales_totals_reach SET sequence = ?1, checked_sequence = ?1, checksum = ?2 "
      "WHERE sequence < ?1",
      totals.sequence, Checksum(totals));
  // What is stored reaches as far or further.
  if (!status.ok() || database.Changes() == 0) return status;
  status = database.Run("DELETE FROM sales_totals");
  for (const auto& [sku, quantity] : totals.quantity_by_sku) {
    if (!status.ok()) break;
    status = database.Run("INSERT INTO sales_totals (sku, quantity) VALUES (?, ?)", sku,
                          std::int64_t{quantity});
  }
  return status;
}

absl::StatusOr<std::int64_t> OnlyNumber(Statement row) {
  if (!row.Next()) return row.status();
  return row.Int64(0);
}

// SQLite takes a negative limit for none.
std::int64_t Limit(int limit) { return std::max(limit, 0); }

}  // namespace

absl::StatusOr<std::unique_ptr<SqliteOrderStore>> SqliteOrderStore::Open(const std::string& path) {
  absl::StatusOr<std::unique_ptr<sqlite::Connections>> connections =
      sqlite::Connections::Open(path, SqliteOrderSchema(), {});
  if (!connections.ok()) return connections.status();
  std::string id;
  {
    absl::StatusOr<sqlite::Connections::Loan> reader = (*connections)->Reader(Deadline::max());
    if (!reader.ok()) return reader.status();
    Statement row = (*reader)->Query("SELECT id FROM database_identity");
    if (row.Next()) id = row.String(0);
    if (!row.status().ok()) return row.status();
  }
  return std::unique_ptr<SqliteOrderStore>(
      new SqliteOrderStore(*std::move(connections), std::move(id)));
}

SqliteOrderStore::SqliteOrderStore(std::unique_ptr<sqlite::Connections> connections,
                                   std::string database_id)
    : connections_(std::move(connections)), database_id_(std::move(database_id)) {}

absl::StatusOr<OrderStore::Placed> SqliteOrderStore::Place(NewOrder order, Deadline deadline) {
  absl::StatusOr<Placed> placed = connections_->Write<Placed>(
      deadline, [order](Database& database) { return PlaceIn(database, order); });
  TellOfEvents();
  if (!placed.ok()) return placed.status();
  // Not before the commit: it may be the one that stores the other order.
  return AnswerTo(order.order, *std::move(placed));
}

absl::StatusOr<std::optional<Order>> SqliteOrderStore::FindByRequestId(
    const std::string& request_id, Deadline deadline) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader(deadline);
  if (!reader.ok()) return reader.status();
  return FindByRequestIdIn(**reader, request_id);
}

absl::StatusOr<std::optional<Order>> SqliteOrderStore::Find(const std::string& order_id,
                                                            Deadline deadline) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader(deadline);
  if (!reader.ok()) return reader.status();
  return FindIn(**reader, order_id);
}

absl::StatusOr<OrderStore::Page> SqliteOrderStore::List(std::int64_t from, int limit,
                                                        Deadline deadline) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader(deadline);
  if (!reader.ok()) return reader.status();
  Page page;
  // One more than asked for tells where the next page begins.
  Statement rows = (*reader)->Query(
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

absl::StatusOr<Order> SqliteOrderStore::Cancel(const std::string& order_id, Deadline deadline) {
  absl::StatusOr<Order> cancelled = connections_->Write<Order>(
      deadline, [order_id](Database& database) { return CancelIn(database, order_id); });
  TellOfEvents();
  return cancelled;
}

absl::StatusOr<std::vector<OrderEvent>> SqliteOrderStore::EventsAfter(std::int64_t after, int limit,
                                                                      Deadline deadline) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader(deadline);
  if (!reader.ok()) return reader.status();
  std::vector<OrderEvent> events;
  Statement rows = (*reader)->Query(
      "SELECT sequence, body FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?", after,
      Limit(limit));
  while (rows.Next()) {
    absl::StatusOr<Order> order = Parse(rows.String(1));
    if (!order.ok()) return order.status();
    events.push_back({rows.Int64(0), *std::move(order)});
  }
  if (!rows.status().ok()) return rows.status();
  if (!events.empty() && events.front().sequence != after + 1) {
    return absl::OutOfRangeError(absl::StrCat("the events up to ", events.front().sequence - 1,
                                              " were removed, and so the one after ", after));
  }
  return events;
}

absl::StatusOr<std::vector<OrderEvent>> SqliteOrderStore::AwaitEventsAfter(std::int64_t after,
                                                                           int limit,
                                                                           Deadline deadline,
                                                                           std::stop_token stop) {
  std::unique_lock lock(mutex_);
  for (;;) {
    const std::int64_t seen = writes_;
    lock.unlock();
    absl::StatusOr<std::vector<OrderEvent>> events = EventsAfter(after, limit, deadline);
    const Deadline now = SteadyClock::now();
    if (now >= deadline && absl::IsDeadlineExceeded(events.status())) events.emplace();
    if (!events.ok() || !events->empty() || now >= deadline || stop.stop_requested()) return events;
    lock.lock();
    changed_.wait_until(lock, stop, std::min(deadline, now + kLook),
                        [&] { return writes_ != seen; });
  }
}

absl::StatusOr<std::int64_t> SqliteOrderStore::LastSequence(Deadline deadline) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader(deadline);
  if (!reader.ok()) return reader.status();
  return OnlyNumber((*reader)->Query("SELECT max(sequence) FROM events"));
}

absl::StatusOr<std::int64_t> SqliteOrderStore::Trim(std::int64_t before, Deadline deadline,
                                                    std::stop_token stop) {
  const auto remove_some = [before](Database& database) -> absl::StatusOr<std::int64_t> {
    absl::Status status = database.Run(
        "DELETE FROM events WHERE sequence IN (SELECT sequence FROM events WHERE sequence < ?1 AND "
        "sequence < (SELECT max(sequence) FROM events) AND sequence <= (SELECT sequence FROM "
        "sales_totals_reach) ORDER BY sequence LIMIT ?2)",
        before, kTrimmedAtOnce);
    if (!status.ok()) return status;
    return database.Changes();
  };
  std::int64_t all = 0;
  while (!stop.stop_requested()) {
    const absl::StatusOr<std::int64_t> removed =
        connections_->Write<std::int64_t>(deadline, remove_some);
    if (!removed.ok()) return removed.status();
    all += *removed;
    if (*removed < kTrimmedAtOnce) break;
  }
  return all;
}

absl::StatusOr<std::vector<OutboxItem>> SqliteOrderStore::Claim(int limit, milliseconds lease,
                                                                Deadline deadline) {
  {
    // Most of the time there is nothing, and that needs no commit.
    absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader(deadline);
    if (!reader.ok()) return reader.status();
    const std::int64_t now = NowMillis();
    Statement due = (*reader)->Query(
        "SELECT 1 FROM outbox WHERE due_at <= ?1 UNION ALL "
        "SELECT 1 FROM outbox WHERE due_at > ?1 + ?2 LIMIT 1",
        now, std::int64_t{OrderStore::kLatestDue.count()});
    if (!due.Next()) {
      if (!due.status().ok()) return due.status();
      return std::vector<OutboxItem>();
    }
  }
  return connections_->Write<std::vector<OutboxItem>>(
      deadline, [limit = std::max(limit, 0), lease = std::min(lease, OrderStore::kLongestLease)](
                    Database& database) { return ClaimIn(database, limit, lease); });
}

absl::StatusOr<OrderStore::Settled> SqliteOrderStore::Settle(
    const std::vector<Settlement>& settlements, Deadline deadline) {
  absl::StatusOr<Settled> settled = connections_->Write<Settled>(
      deadline, [settlements](Database& database) -> absl::StatusOr<Settled> {
        Settled settled;
        for (const Settlement& settlement : settlements) {
          const absl::StatusOr<bool> was_there = SettleIn(database, settlement);
          if (!was_there.ok()) return was_there.status();
          if (*was_there) ++settled.removed;
        }
        return settled;
      });
  TellOfEvents();
  return settled;
}

absl::Status SqliteOrderStore::Postpone(const std::vector<OutboxItem>& items, milliseconds delay,
                                        Deadline deadline) {
  const std::int64_t due_at = NowMillis() + std::min(delay, kLongestLease).count();
  return connections_->Write(deadline, [items, due_at](Database& database) {
    absl::Status status;
    for (const OutboxItem& item : items) {
      if (!status.ok()) break;
      status = database.Run("UPDATE outbox SET due_at = ? WHERE id = ?", due_at, item.id);
    }
    return status;
  });
}

absl::Status SqliteOrderStore::GiveBack(const std::vector<OutboxItem>& items, Deadline deadline) {
  return connections_->Write(deadline, [items](Database& database) {
    absl::Status status;
    for (const OutboxItem& item : items) {
      if (!status.ok()) break;
      status = database.Run(
          "UPDATE outbox SET due_at = min(?, ?), attempts = attempts - 1 "
          "WHERE id = ? AND attempts = ?",
          item.due_at, NowMillis(), item.id, std::int64_t{item.attempts});
    }
    return status;
  });
}

absl::StatusOr<Backlog> SqliteOrderStore::OutboxBacklog(Deadline deadline) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader(deadline);
  if (!reader.ok()) return reader.status();
  // created_at = 0: an older version has stored it. Above 0, ids are in the order of time.
  Statement row = (*reader)->Query(
      "SELECT (SELECT count(*) FROM outbox), "
      "(SELECT abs(?1 - created_at) FROM outbox WHERE id > 0 AND created_at <> 0 "
      "ORDER BY id LIMIT 1), "
      "(SELECT max(abs(?1 - created_at)) FROM outbox WHERE id < 0), "
      "(SELECT abs(?1 - created_at) FROM outbox WHERE id > 0 AND created_at <> 0 AND kind = 0 "
      "ORDER BY id LIMIT 1)",
      NowMillis());
  if (!row.Next()) return row.status();
  return Backlog{.depth = row.Int64(0),
                 .oldest_age = milliseconds(std::max(row.Int64(1), row.Int64(2))),
                 .oldest_confirm_age = milliseconds(row.Int64(3))};
}

absl::StatusOr<SalesTotals> SqliteOrderStore::LoadTotals(Deadline deadline) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader(deadline);
  if (!reader.ok()) return reader.status();
  return LoadTotalsIn(**reader);
}

absl::Status SqliteOrderStore::SaveTotals(const SalesTotals& totals, Deadline deadline) {
  return connections_->Write(
      deadline, [totals](Database& database) { return SaveTotalsIn(database, totals); });
}

absl::StatusOr<SalesTotals> SqliteOrderStore::ComputeTotals(Deadline deadline) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader(deadline);
  if (!reader.ok()) return reader.status();
  SalesTotals totals;
  // One statement, so that both tables are of the same moment.
  Statement rows = (*reader)->Query("SELECT (SELECT max(sequence) FROM events), body FROM orders");
  while (rows.Next()) {
    totals.sequence = rows.Int64(0);
    absl::StatusOr<Order> order = Parse(rows.String(1));
    if (!order.ok()) return order.status();
    const bool counts = order->state() != v1::ORDER_STATE_CANCELLED;
    for (const auto& [sku, quantity] : QuantityBySku(*order)) {
      totals.quantity_by_sku[sku] += counts ? quantity : 0;
    }
  }
  if (!rows.status().ok()) return rows.status();
  return totals;
}

absl::Status SqliteOrderStore::Close(Deadline deadline) {
  absl::Status closed = connections_->Close(deadline);
  TellOfEvents();
  return closed;
}

void SqliteOrderStore::TellOfEvents() {
  {
    std::lock_guard lock(mutex_);
    ++writes_;
  }
  changed_.notify_all();
}

}  // namespace orders
