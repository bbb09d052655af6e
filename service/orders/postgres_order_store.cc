#include "service/orders/postgres_order_store.h"

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/orders/postgres_order_schema.h"
#include "service/orders/postgres_order_sql.h"
#include "service/orders/stored_order.h"
#include "service/postgres/connection.h"
#include "service/postgres/migrations.h"
#include "service/postgres/statement.h"
#include "spdlog/spdlog.h"

namespace orders {
namespace {

using postgres::Blob;
using postgres::Rows;
using postgres::Statement;
using v1::Order;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Notifications tell of events; this is for one that was lost with its connection.
constexpr milliseconds kLook(1000);
// What is read by a wait that ends: long enough for an answer.
constexpr milliseconds kMoment(500);

// A start that waits longer says so.
constexpr milliseconds kSilence(1000);

constexpr char kChannel[] = "order_events";
// Before everything that appends to the log: see the class. Without its one row, nothing would be
// numbered or locked: then it fails, by an error whose text is PostgreSQL's but for the name.
const Statement& LockLog() {
  static const auto* const kLock = new Statement(R"sql(
    SELECT CASE count(*) WHEN 1 THEN '' ELSE current_setting('the table log must have one row') END
      FROM (SELECT last FROM log FOR UPDATE) AS locked
  )sql");
  return *kLock;
}
// First in what is made again if it is lost.
const Statement& WaitForNoStandby() {
  static const auto* const kLocal =
      new Statement("SELECT set_config('synchronous_commit', 'local', true)");
  return *kLocal;
}
const Statement& TellListeners() {
  static const auto* const kTell = new Statement("SELECT pg_notify($1, '')", std::string(kChannel));
  return *kTell;
}

std::string InJson(const std::string& text) {
  std::string json = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') json += '\\';
    const auto code = static_cast<unsigned char>(c);
    if (code < 0x20) {
      absl::StrAppend(&json, "\\u", absl::Hex(code, absl::kZeroPad4));
    } else {
      json += c;
    }
  }
  return json + "\"";
}

std::string ItemsInJson(const Order& order) {
  std::string json = "{";
  for (const auto& [sku, quantity] : QuantityBySku(order)) {
    absl::StrAppend(&json, json.size() > 1 ? "," : "", InJson(sku), ":", quantity);
  }
  return json + "}";
}

// The order of columns (state, body).
absl::StatusOr<Order> ToOrder(const Rows& rows, int row, int column) {
  Order order;
  if (!order.ParseFromString(rows.String(row, column + 1))) {
    return absl::DataLossError("database: a stored order cannot be read");
  }
  order.set_state(static_cast<v1::OrderState>(rows.Int64(row, column)));
  return order;
}

// Tries again while the server cannot be reached, until the deadline. An attempt that ends there says
// less of the server than the one before it.
template <typename Attempt>
auto KeepTrying(OrderStore::Deadline deadline, const Attempt& attempt) {
  auto result = attempt(std::max(deadline, Clock::now() + kMoment));
  while (absl::IsUnavailable(result.status()) && Clock::now() < deadline) {
    std::this_thread::sleep_for(postgres::Pool::kMinBackoff);
    auto next = attempt(std::max(deadline, Clock::now() + kMoment));
    if (absl::IsUnavailable(next.status()) && Clock::now() >= deadline) break;
    result = std::move(next);
  }
  return result;
}

// Says once what a start may wait for, if it does not end soon. Stopped and joined by its
// destructor.
std::jthread TellIfItWaits() {
  return std::jthread([](const std::stop_token& stop) {
    std::mutex mutex;
    std::unique_lock lock(mutex);
    std::condition_variable_any never;
    never.wait_for(lock, stop, kSilence, [] { return false; });
    if (stop.stop_requested()) return;
    spdlog::info(
        "the start is still busy with the database's tables: it changes them, or waits for the "
        "server or for a lock; for a lock: "
        "SELECT pid, query, pg_blocking_pids(pid) FROM pg_stat_activity "
        "WHERE wait_event_type = 'Lock'");
  });
}

// `status`: of what reads the tables.
absl::Status WithRemedy(const absl::Status& status) {
  if (!absl::IsPermissionDenied(status)) return status;
  return absl::PermissionDeniedError(
      absl::StrCat(status.message(),
                   "; give this user GRANT SELECT, INSERT, UPDATE, DELETE on each of the tables"));
}

// Makes the tables, or finds that they are there and may be read. Returns the database's id.
absl::StatusOr<std::string> Prepare(postgres::Connection& connection) {
  constexpr auto kAsLongAsItTakes = OrderStore::Deadline::max();
  const std::jthread telling = TellIfItWaits();
  if (absl::Status status = postgres::Migrate(connection, PostgresOrderSchema(), kAsLongAsItTakes);
      !status.ok()) {
    return status;
  }
  const absl::StatusOr<Rows> id =
      connection.Query(Statement("SELECT id FROM database_identity"), kAsLongAsItTakes);
  if (!id.ok()) return WithRemedy(id.status());
  const absl::StatusOr<Rows> readable = connection.Query(
      Statement("SELECT FROM orders, log, events, outbox, sales_totals LIMIT 0"), kAsLongAsItTakes);
  if (!readable.ok()) return WithRemedy(readable.status());
  return id->size() > 0 ? id->String(0, 0) : "";
}

// For what ends after Place() has said that its outcome is open.
postgres::Writer::Late TellIfNotStored(std::function<void()> not_stored) {
  return [not_stored = std::move(not_stored)](const absl::Status& ended) {
    if (not_stored && !ended.ok() && !absl::IsUnknown(ended)) not_stored();
  };
}

}  // namespace

absl::StatusOr<std::unique_ptr<PostgresOrderStore>> PostgresOrderStore::Open(
    const std::string& text, const Options& options) {
  const absl::StatusOr<postgres::Url> url = postgres::Url::Parse(text);
  if (!url.ok()) return url.status();
  const Deadline deadline = Clock::now() + options.start_timeout;
  const auto open_pool = [&](std::size_t connections) {
    return KeepTrying(deadline, [&](Deadline until) {
      return postgres::Pool::Open(*url, {.connections = connections}, until);
    });
  };
  auto pool = open_pool(options.connections);
  if (!pool.ok()) return pool.status();
  auto writers_pool = open_pool(1);
  if (!writers_pool.ok()) return writers_pool.status();

  const auto connection = KeepTrying(
      deadline, [&](Deadline until) { return postgres::Connection::Open(*url, {}, until); });
  absl::StatusOr<std::string> id = connection.ok() ? Prepare(**connection) : connection.status();
  if (!id.ok()) {
    return absl::Status(id.status().code(), absl::StrCat("cannot use ", url->description(), ": ",
                                                         id.status().message()));
  }
  return std::unique_ptr<PostgresOrderStore>(
      new PostgresOrderStore(*url, *std::move(pool), *std::move(writers_pool), *std::move(id)));
}

PostgresOrderStore::PostgresOrderStore(const postgres::Url& url,
                                       std::shared_ptr<postgres::Pool> pool,
                                       std::shared_ptr<postgres::Pool> writers_pool,
                                       std::string database_id)
    : pool_(std::move(pool)),
      writers_pool_(std::move(writers_pool)),
      database_id_(std::move(database_id)),
      writer_(writers_pool_, {LockLog()}, {TellListeners()}),
      listener_(url, kChannel, [this] { TellOfEvents(); }) {}

absl::StatusOr<OrderStore::Placed> PostgresOrderStore::Place(NewOrder wanted, Deadline deadline) {
  const Order& order = wanted.order;
  const absl::StatusOr<std::vector<Rows>> rows = writer_.Run(
      {Statement(sql::kPlace, order.order_id(), order.request_id(), wanted.reservation_id,
                 ItemsInJson(order), Blob{order.SerializeAsString()}),
       Statement("SELECT state, body FROM orders WHERE request_id = $1", order.request_id())},
      deadline, TellIfNotStored(std::move(wanted.not_stored)));
  if (!rows.ok()) return rows.status();
  const Rows& found = rows->at(1);
  if (found.size() == 0) return absl::DataLossError("database: a stored order cannot be found");
  absl::StatusOr<Order> stored = ToOrder(found, 0, 0);
  if (!stored.ok()) return stored.status();
  return AnswerTo(order, {.order = *std::move(stored), .created = rows->at(0).size() > 0});
}

absl::StatusOr<std::optional<Order>> PostgresOrderStore::FindWhere(const std::string& condition,
                                                                   const std::string& value,
                                                                   Deadline deadline) {
  const absl::StatusOr<Rows> rows =
      pool_->Query(Statement("SELECT state, body FROM orders WHERE " + condition, value), deadline);
  if (!rows.ok()) return rows.status();
  if (rows->size() == 0) return std::optional<Order>();
  absl::StatusOr<Order> order = ToOrder(*rows, 0, 0);
  if (!order.ok()) return order.status();
  return std::optional<Order>(*std::move(order));
}

absl::StatusOr<std::optional<Order>> PostgresOrderStore::FindByRequestId(
    const std::string& request_id, Deadline deadline) {
  return FindWhere("request_id = $1", request_id, deadline);
}

absl::StatusOr<std::optional<Order>> PostgresOrderStore::Find(const std::string& order_id,
                                                              Deadline deadline) {
  return FindWhere("order_id = $1", order_id, deadline);
}

absl::StatusOr<OrderStore::Page> PostgresOrderStore::List(std::int64_t from, int limit,
                                                          Deadline deadline) {
  limit = std::max(limit, 0);
  // One more than asked for tells where the next page begins.
  const absl::StatusOr<Rows> rows =
      pool_->Query(Statement("SELECT position, state, body FROM orders WHERE position >= $1 "
                             "ORDER BY position LIMIT $2",
                             from, std::int64_t{limit} + 1),
                   deadline);
  if (!rows.ok()) return rows.status();
  Page page;
  if (rows->size() > limit) page.next = rows->Int64(limit, 0);
  for (int row = 0; row < std::min(rows->size(), limit); ++row) {
    absl::StatusOr<Order> order = ToOrder(*rows, row, 1);
    if (!order.ok()) return order.status();
    page.orders.push_back(*std::move(order));
  }
  return page;
}

absl::StatusOr<Order> PostgresOrderStore::Cancel(const std::string& order_id, Deadline deadline) {
  const absl::StatusOr<std::vector<Rows>> rows =
      writer_.Run({Statement(sql::kCancel, order_id),
                   Statement("SELECT state, body FROM orders WHERE order_id = $1", order_id)},
                  deadline);
  if (!rows.ok()) return rows.status();
  if (rows->at(1).size() == 0) return absl::NotFoundError("there is no order " + order_id);
  absl::StatusOr<Order> order = ToOrder(rows->at(1), 0, 0);
  if (order.ok() && order->state() != v1::ORDER_STATE_CANCELLED) {
    return absl::UnavailableError("database: the order is locked by another program");
  }
  return order;
}

absl::StatusOr<std::vector<OrderEvent>> PostgresOrderStore::EventsAfter(std::int64_t after,
                                                                        int limit,
                                                                        Deadline deadline) {
  const absl::StatusOr<Rows> rows = pool_->Query(
      Statement("SELECT sequence, events.state, body FROM events JOIN orders USING (position) "
                "WHERE sequence > $1 ORDER BY sequence LIMIT $2",
                after, std::int64_t{std::max(limit, 0)}),
      deadline);
  if (!rows.ok()) return rows.status();
  std::vector<OrderEvent> events;
  for (int row = 0; row < rows->size(); ++row) {
    absl::StatusOr<Order> order = ToOrder(*rows, row, 1);
    if (!order.ok()) return order.status();
    events.push_back({rows->Int64(row, 0), *std::move(order)});
  }
  if (!events.empty() && events.front().sequence != after + 1) {
    return absl::OutOfRangeError(absl::StrCat("the events up to ", events.front().sequence - 1,
                                              " were removed, and so the one after ", after));
  }
  return events;
}

absl::StatusOr<std::vector<OrderEvent>> PostgresOrderStore::AwaitEventsAfter(std::int64_t after,
                                                                             int limit,
                                                                             Deadline deadline,
                                                                             std::stop_token stop) {
  std::unique_lock lock(mutex_);
  for (;;) {
    const std::int64_t seen = news_;
    lock.unlock();
    absl::StatusOr<std::vector<OrderEvent>> events =
        EventsAfter(after, limit, std::max(deadline, Clock::now() + kMoment));
    const Deadline now = Clock::now();
    if (!events.ok() || !events->empty() || now >= deadline || stop.stop_requested()) return events;
    lock.lock();
    changed_.wait_until(lock, stop, std::min(deadline, now + kLook), [&] { return news_ != seen; });
  }
}

absl::StatusOr<std::int64_t> PostgresOrderStore::LastSequence(Deadline deadline) {
  const absl::StatusOr<Rows> row = pool_->Query(Statement("SELECT last FROM log"), deadline);
  if (!row.ok()) return row.status();
  if (row->size() != 1) return absl::DataLossError("database: the table log must have one row");
  return row->Int64(0, 0);
}

absl::StatusOr<std::int64_t> PostgresOrderStore::Trim(std::int64_t before, Deadline deadline,
                                                      std::stop_token stop) {
  std::int64_t removed = 0;
  while (!stop.stop_requested()) {
    const absl::StatusOr<Rows> row = Change(Statement(sql::kTrim, before), deadline);
    if (!row.ok()) return row.status();
    if (row->Int64(0, 0) == 0) break;
    removed += row->Int64(0, 0);
  }
  return removed;
}

absl::StatusOr<std::vector<OutboxItem>> PostgresOrderStore::Claim(int limit, milliseconds lease,
                                                                  Deadline deadline) {
  const absl::StatusOr<Rows> rows =
      Change(Statement(sql::kClaim, std::int64_t{std::max(limit, 0)},
                       std::int64_t{std::min(lease, kLongestLease).count()},
                       std::int64_t{kLatestDue.count()}),
             deadline);
  if (!rows.ok()) return rows.status();
  std::vector<OutboxItem> items;
  for (int row = 0; row < rows->size(); ++row) {
    items.push_back({.id = rows->Int64(row, 0),
                     .kind = static_cast<OutboxItem::Kind>(rows->Int64(row, 1)),
                     .order_id = rows->String(row, 2),
                     .reservation_id = rows->String(row, 3),
                     .attempts = static_cast<int>(rows->Int64(row, 4)),
                     .due_at = rows->Int64(row, 5)});
  }
  return items;
}

absl::StatusOr<OrderStore::Settled> PostgresOrderStore::Settle(
    const std::vector<Settlement>& settlements, Deadline deadline) {
  if (settlements.empty()) return Settled{};
  std::vector<std::int64_t> ids, states;
  for (const Settlement& settlement : settlements) {
    ids.push_back(settlement.item.id);
    states.push_back(settlement.state.value_or(v1::ORDER_STATE_UNSPECIFIED));
  }
  const absl::StatusOr<std::vector<Rows>> rows =
      writer_.Run({Statement(sql::kSettle, ids, states)}, deadline);
  if (!rows.ok()) return rows.status();
  return Settled{.removed = rows->front().Int64(0, 0), .locked = rows->front().Int64(0, 1)};
}

absl::Status PostgresOrderStore::Postpone(const std::vector<OutboxItem>& items, milliseconds delay,
                                          Deadline deadline) {
  std::vector<std::int64_t> ids;
  for (const OutboxItem& item : items) ids.push_back(item.id);
  return Change(
             Statement(sql::kPostpone, ids, std::int64_t{std::min(delay, kLongestLease).count()}),
             deadline)
      .status();
}

absl::Status PostgresOrderStore::GiveBack(const std::vector<OutboxItem>& items, Deadline deadline) {
  std::vector<std::int64_t> ids, due_ats, attempts;
  for (const OutboxItem& item : items) {
    ids.push_back(item.id);
    due_ats.push_back(item.due_at);
    attempts.push_back(item.attempts);
  }
  return Change(Statement(sql::kGiveBack, ids, due_ats, attempts), deadline).status();
}

absl::StatusOr<Backlog> PostgresOrderStore::OutboxBacklog(Deadline deadline) {
  const absl::StatusOr<Rows> row = pool_->Query(Statement(sql::kBacklog), deadline);
  if (!row.ok()) return row.status();
  return Backlog{.depth = row->Int64(0, 0),
                 .oldest_age = milliseconds(row->Int64(0, 1)),
                 .oldest_confirm_age = milliseconds(row->Int64(0, 2))};
}

absl::StatusOr<PostgresOrderStore::StoredTotals> PostgresOrderStore::ReadTotals(Deadline deadline) {
  const absl::StatusOr<Rows> rows =
      pool_->Query(Statement("SELECT sequence, checksum, sku, quantity, sales_totals.xmin::text "
                             "FROM sales_totals LEFT JOIN LATERAL "
                             "unnest(skus, quantities) AS sold (sku, quantity) ON true"),
                   deadline);
  if (!rows.ok()) return rows.status();
  StoredTotals stored;
  SalesTotals& totals = stored.totals;
  for (int row = 0; row < rows->size(); ++row) {
    totals.sequence = rows->Int64(row, 0);
    if (const std::string sku = rows->String(row, 2); !sku.empty()) {
      totals.quantity_by_sku[sku] = rows->Int64(row, 3);
    }
  }
  if (rows->size() > 0 && rows->Int64(0, 1) != Checksum(totals)) {
    stored.damaged_version = rows->String(0, 4);
  }
  return stored;
}

absl::StatusOr<SalesTotals> PostgresOrderStore::LoadTotals(Deadline deadline) {
  absl::StatusOr<StoredTotals> stored = ReadTotals(deadline);
  if (!stored.ok()) return stored.status();
  if (!stored->damaged_version.empty()) {
    return absl::DataLossError("database: the checksum of the saved sales totals is wrong");
  }
  return std::move(stored->totals);
}

absl::Status PostgresOrderStore::SaveTotals(const SalesTotals& totals, Deadline deadline) {
  std::vector<Statement> statements;
  const absl::StatusOr<StoredTotals> stored = ReadTotals(deadline);
  if (!stored.ok()) return stored.status();
  if (!stored->damaged_version.empty()) {
    statements.emplace_back(sql::kPutDamagedTotalsAside, stored->damaged_version);
  }
  std::vector<std::string> skus;
  std::vector<std::int64_t> quantities;
  for (const auto& [sku, quantity] : totals.quantity_by_sku) {
    skus.push_back(sku);
    quantities.push_back(quantity);
  }
  statements.emplace_back(sql::kSaveTotals, totals.sequence, skus, quantities, Checksum(totals));
  return Commit(std::move(statements), deadline).status();
}

absl::StatusOr<SalesTotals> PostgresOrderStore::ComputeTotals(Deadline deadline) {
  const absl::StatusOr<Rows> rows = pool_->Query(Statement(sql::kComputeTotals), deadline);
  if (!rows.ok()) return rows.status();
  SalesTotals totals;
  for (int row = 0; row < rows->size(); ++row) {
    totals.sequence = rows->Int64(row, 0);
    if (const std::string sku = rows->String(row, 1); !sku.empty()) {
      totals.quantity_by_sku[sku] = rows->Int64(row, 2);
    }
  }
  return totals;
}

absl::StatusOr<std::vector<Rows>> PostgresOrderStore::Commit(std::vector<Statement> statements,
                                                             Deadline deadline) {
  ++commits_;
  statements.insert(statements.begin(), WaitForNoStandby());
  absl::StatusOr<std::vector<Rows>> rows = pool_->Commit(statements, deadline);
  if (rows.ok()) rows->erase(rows->begin());
  return rows;
}

absl::StatusOr<Rows> PostgresOrderStore::Change(Statement statement, Deadline deadline) {
  absl::StatusOr<std::vector<Rows>> rows = Commit({std::move(statement)}, deadline);
  if (!rows.ok()) return rows.status();
  return std::move(rows->front());
}

absl::Status PostgresOrderStore::Close(Deadline deadline) {
  std::lock_guard closing(closing_);
  if (closed_) return *closed_;
  const Deadline now = Clock::now();
  // What the writer cannot commit in time is given up with the rest.
  absl::Status status =
      writer_.Close(deadline - std::min<Clock::duration>((deadline - now) / 3, 2 * kMoment));
  status.Update(writers_pool_->Close(deadline));
  status.Update(pool_->Close(deadline));
  status.Update(listener_.Close(deadline));
  TellOfEvents();
  closed_ = status;
  return status;
}

void PostgresOrderStore::TellOfEvents() {
  {
    std::lock_guard lock(mutex_);
    ++news_;
  }
  changed_.notify_all();
}

}  // namespace orders
