#include "service/inventory/stock_store.h"

#include <algorithm>
#include <set>

#include "service/inventory/inventory_errors.h"
#include "service/sqlite/database.h"

namespace inventory {
namespace {

using Quantities = StockStore::Quantities;

const sqlite::Schema& InventorySchema() {
  static const auto* const kSchema = new sqlite::Schema{.application_id = 0x494e5654,  // "INVT"
                                                        .migrations = {R"sql(
        -- Available is what is left: initial - reserved - confirmed.
        CREATE TABLE stock (
          sku       TEXT PRIMARY KEY,
          initial   INTEGER NOT NULL,
          reserved  INTEGER NOT NULL DEFAULT 0 CHECK (reserved >= 0),
          confirmed INTEGER NOT NULL DEFAULT 0 CHECK (confirmed >= 0),
          CHECK (reserved + confirmed <= initial)
        ) STRICT, WITHOUT ROWID;

        -- Never removed: they are what makes a repeated call harmless.
        CREATE TABLE reservations (
          reservation_id TEXT PRIMARY KEY,
          state          TEXT NOT NULL
            CHECK (state IN ('reserved', 'confirmed', 'released', 'expired')),
          expires_at     INTEGER NOT NULL  -- Unix time in milliseconds.
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX reservations_by_expiry ON reservations (expires_at)
          WHERE state = 'reserved';

        CREATE TABLE reservation_items (
          reservation_id TEXT NOT NULL REFERENCES reservations (reservation_id),
          sku            TEXT NOT NULL REFERENCES stock (sku),
          quantity       INTEGER NOT NULL CHECK (quantity > 0),
          PRIMARY KEY (reservation_id, sku)
        ) STRICT, WITHOUT ROWID;
      )sql"}};
  return *kSchema;
}

struct Reservation {
  std::string state;
  std::int64_t expires_at = 0;
  Quantities items;
};

std::int64_t ToUnixMillis(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count();
}

// Makes the stock of expired reservations available again.
absl::Status Expire(sqlite::Database& database, std::int64_t now) {
  {
    sqlite::Statement due = database.Query(
        "SELECT 1 FROM reservations WHERE state = 'reserved' AND expires_at <= ? LIMIT 1", now);
    if (!due.Next()) return due.status();
  }
  absl::Status status = database.Run(R"sql(
      UPDATE stock SET reserved = reserved - expired.quantity
      FROM (SELECT sku, sum(quantity) AS quantity
            FROM reservations JOIN reservation_items USING (reservation_id)
            WHERE state = 'reserved' AND expires_at <= ? GROUP BY sku) AS expired
      WHERE stock.sku = expired.sku)sql",
                                     now);
  if (status.ok()) {
    status = database.Run(
        "UPDATE reservations SET state = 'expired' WHERE state = 'reserved' AND expires_at <= ?",
        now);
  }
  return status;
}

absl::StatusOr<std::optional<Reservation>> Find(sqlite::Database& database,
                                                const std::string& reservation_id) {
  std::optional<Reservation> reservation;
  // One that was released before it was made has no items.
  sqlite::Statement rows = database.Query(
      "SELECT state, expires_at, sku, quantity FROM reservations "
      "LEFT JOIN reservation_items USING (reservation_id) WHERE reservation_id = ?",
      reservation_id);
  while (rows.Next()) {
    if (!reservation) reservation.emplace();
    reservation->state = rows.String(0);
    reservation->expires_at = rows.Int64(1);
    if (rows.Int64(3) > 0) reservation->items[rows.String(2)] = rows.Int64(3);
  }
  if (!rows.status().ok()) return rows.status();
  return reservation;
}

absl::Status RequireAvailable(sqlite::Database& database, const Quantities& items) {
  for (const auto& [sku, quantity] : items) {
    sqlite::Statement row =
        database.Query("SELECT initial - reserved - confirmed FROM stock WHERE sku = ?", sku);
    if (!row.Next()) return row.status().ok() ? UnknownSku(sku) : row.status();
    if (row.Int64(0) < quantity) return OutOfStock(sku, row.Int64(0));
  }
  return absl::OkStatus();
}

// Moves `items` between the three heaps: adds to reserved and confirmed, and takes
// the sum from what is available.
absl::Status Move(sqlite::Database& database, const Quantities& items, std::int64_t to_reserved,
                  std::int64_t to_confirmed) {
  for (const auto& [sku, quantity] : items) {
    absl::Status status = database.Run(
        "UPDATE stock SET reserved = reserved + ?, confirmed = confirmed + ? WHERE sku = ?",
        to_reserved * quantity, to_confirmed * quantity, sku);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status SetState(sqlite::Database& database, const std::string& reservation_id,
                      const std::string& state) {
  return database.Run("UPDATE reservations SET state = ? WHERE reservation_id = ?", state,
                      reservation_id);
}

// Reserved from now on: a new reservation, or one that had expired, with the same items.
absl::Status Put(sqlite::Database& database, const std::string& reservation_id,
                 const Quantities& items, std::int64_t expires_at) {
  absl::Status status = database.Run(
      "INSERT OR REPLACE INTO reservations VALUES (?, 'reserved', ?)", reservation_id, expires_at);
  for (const auto& [sku, quantity] : items) {
    if (!status.ok()) break;
    status = database.Run("INSERT OR REPLACE INTO reservation_items VALUES (?, ?, ?)",
                          reservation_id, sku, std::int64_t{quantity});
  }
  return status;
}

}  // namespace

absl::StatusOr<std::unique_ptr<StockStore>> StockStore::Open(const std::string& path, Now now) {
  absl::StatusOr<std::unique_ptr<sqlite::Connections>> connections =
      sqlite::Connections::Open(path, InventorySchema(), {});
  if (!connections.ok()) return connections.status();
  return std::unique_ptr<StockStore>(new StockStore(*std::move(connections), std::move(now)));
}

absl::Status StockStore::Seed(const Quantities& initial, Deadline deadline) {
  return connections_->Write(deadline, [initial](sqlite::Database& database) {
    absl::Status status;
    for (const auto& [sku, quantity] : initial) {
      if (!status.ok()) break;
      status = database.Run("INSERT INTO stock (sku, initial) VALUES (?, ?) ON CONFLICT DO NOTHING",
                            sku, std::int64_t{quantity});
    }
    return status;
  });
}

absl::StatusOr<StockStore::Outcome> StockStore::Change(Deadline deadline, Work change) {
  absl::StatusOr<Outcome> outcome = connections_->Write<Outcome>(
      deadline,
      [now = ToUnixMillis(now_()),
       change = std::move(change)](sqlite::Database& database) -> absl::StatusOr<Outcome> {
        if (absl::Status status = Expire(database, now); !status.ok()) return status;
        absl::StatusOr<sqlite::Savepoint> savepoint = sqlite::Savepoint::Begin(database);
        if (!savepoint.ok()) return savepoint.status();
        absl::StatusOr<Outcome> changed = change(database, now);
        if (!changed.ok()) return Outcome{.answer = changed.status()};
        if (absl::Status kept = savepoint->Keep(); !kept.ok()) return kept;
        return changed;
      });
  if (outcome.ok() && !outcome->answer.ok()) return outcome->answer;
  return outcome;
}

absl::StatusOr<std::optional<StockStore::TimePoint>> StockStore::Reserve(
    const std::string& reservation_id, const Quantities& items, std::chrono::milliseconds ttl,
    Deadline deadline) {
  const absl::StatusOr<Outcome> outcome = Change(
      deadline, [=](sqlite::Database& database, std::int64_t now) -> absl::StatusOr<Outcome> {
        const absl::StatusOr<std::optional<Reservation>> found = Find(database, reservation_id);
        if (!found.ok()) return found.status();
        const Reservation present = found->value_or(Reservation());
        if (present.state == "released") return ReservationReleased(reservation_id);
        if (*found && present.items != items) return ReservationIdReused(reservation_id);
        if (present.state == "confirmed") return Outcome{};
        std::int64_t expires_at = now + ttl.count();
        absl::Status status;
        if (present.state == "reserved") {
          expires_at = std::max(expires_at, present.expires_at);
        } else {
          status = RequireAvailable(database, items);
          if (status.ok()) status = Move(database, items, /*to_reserved=*/1, /*to_confirmed=*/0);
        }
        if (status.ok()) status = Put(database, reservation_id, items, expires_at);
        if (!status.ok()) return status;
        return Outcome{.expires_at = TimePoint(std::chrono::milliseconds(expires_at))};
      });
  if (!outcome.ok()) return outcome.status();
  return outcome->expires_at;
}

absl::Status StockStore::Confirm(const std::string& reservation_id, Deadline deadline) {
  const auto confirm = [=](sqlite::Database& database, std::int64_t) -> absl::StatusOr<Outcome> {
    const absl::StatusOr<std::optional<Reservation>> found = Find(database, reservation_id);
    if (!found.ok()) return found.status();
    if (!*found) return UnknownReservation(reservation_id);
    const Reservation& reservation = **found;
    if (reservation.state == "confirmed") return Outcome{};
    if (reservation.state == "released") return ReservationReleased(reservation_id);

    const bool expired = reservation.state == "expired";
    const absl::Status refusal =
        expired ? RequireAvailable(database, reservation.items) : absl::OkStatus();
    if (!refusal.ok() && !absl::IsFailedPrecondition(refusal)) return refusal;
    absl::Status status;
    if (refusal.ok()) {
      status = Move(database, reservation.items, /*to_reserved=*/expired ? 0 : -1,
                    /*to_confirmed=*/1);
    }
    // A refusal is final: whoever asks again must not be told otherwise.
    if (status.ok()) {
      status = SetState(database, reservation_id, refusal.ok() ? "confirmed" : "released");
    }
    if (!status.ok()) return status;
    return Outcome{.answer = refusal};
  };
  return Change(deadline, confirm).status();
}

absl::Status StockStore::Release(const std::string& reservation_id, bool even_confirmed,
                                 Deadline deadline) {
  const auto release = [=](sqlite::Database& database, std::int64_t) -> absl::StatusOr<Outcome> {
    const absl::StatusOr<std::optional<Reservation>> found = Find(database, reservation_id);
    if (!found.ok()) return found.status();
    const Reservation present = found->value_or(Reservation());
    const bool confirmed = present.state == "confirmed";
    if (present.state == "released") return Outcome{};
    if (confirmed && !even_confirmed) return ReservationConfirmed(reservation_id);

    absl::Status status;
    if (confirmed || present.state == "reserved") {
      status = Move(database, present.items, /*to_reserved=*/confirmed ? 0 : -1,
                    /*to_confirmed=*/confirmed ? -1 : 0);
    }
    if (status.ok()) {
      status = database.Run(
          "INSERT INTO reservations VALUES (?, 'released', 0) "
          "ON CONFLICT (reservation_id) DO UPDATE SET state = 'released'",
          reservation_id);
    }
    if (!status.ok()) return status;
    return Outcome{};
  };
  return Change(deadline, release).status();
}

absl::StatusOr<std::vector<v1::Stock>> StockStore::Get(const std::vector<std::string>& skus,
                                                       Deadline deadline) {
  absl::StatusOr<sqlite::Connections::Loan> reader = connections_->Reader(deadline);
  if (!reader.ok()) return reader.status();
  // Expired reservations do not count, also before the next write has seen them.
  const std::string select = R"sql(
      SELECT sku, initial, confirmed,
             reserved - ifnull(
                 (SELECT sum(quantity)
                  FROM reservations JOIN reservation_items AS item USING (reservation_id)
                  WHERE state = 'reserved' AND expires_at <= ? AND item.sku = stock.sku), 0)
      FROM stock)sql";
  const std::int64_t now = ToUnixMillis(now_());
  std::vector<v1::Stock> all;
  const auto append = [&all](sqlite::Statement rows) {
    while (rows.Next()) {
      v1::Stock& stock = all.emplace_back();
      stock.set_sku(rows.String(0));
      stock.set_initial(rows.Int64(1));
      stock.set_confirmed(rows.Int64(2));
      stock.set_reserved(rows.Int64(3));
      stock.set_available(stock.initial() - stock.reserved() - stock.confirmed());
    }
    return rows.status();
  };
  if (skus.empty()) {
    absl::Status status = append((*reader)->Query(select + " ORDER BY sku", now));
    if (!status.ok()) return status;
  }
  for (const std::string& sku : std::set<std::string>(skus.begin(), skus.end())) {
    const std::size_t before = all.size();
    absl::Status status = append((*reader)->Query(select + " WHERE sku = ?", now, sku));
    if (!status.ok()) return status;
    if (all.size() == before) return UnknownSku(sku);
  }
  return all;
}

}  // namespace inventory
