// What a SqliteOrderStore does when its disk, its file or its neighbours are not as they should be.

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/sqlite_order_schema.h"
#include "service/orders/sqlite_order_store.h"
#include "service/sqlite/database.h"
#include "service/sqlite/testing/failing_disk.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace orders {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;
using testkit::Soon;

v1::Order MakeOrder(const std::string& id) {
  v1::Order order;
  order.set_order_id("order-" + id);
  order.set_request_id("request-" + id);
  v1::OrderItem& item = *order.add_items();
  item.set_sku("tea");
  item.set_quantity(2);
  return order;
}

class OrdersSqliteFaultsTest : public ::testing::Test {
 protected:
  std::unique_ptr<SqliteOrderStore> Open() {
    absl::StatusOr<std::unique_ptr<SqliteOrderStore>> store = SqliteOrderStore::Open(path_);
    EXPECT_TRUE(store.ok()) << store.status();
    return *std::move(store);
  }
  // A connection that knows only the first `migrations`.
  std::unique_ptr<sqlite::Database> OpenRaw(std::size_t migrations) {
    sqlite::Schema schema = SqliteOrderSchema();
    schema.migrations.resize(migrations);
    absl::StatusOr<std::unique_ptr<sqlite::Database>> database =
        sqlite::Database::Open(path_, schema, {});
    EXPECT_TRUE(database.ok()) << database.status();
    return *std::move(database);
  }
  absl::StatusOr<OrderStore::Placed> Place(OrderStore& store, const std::string& id) {
    return store.Place({MakeOrder(id), "reservation-" + id}, Soon());
  }

  const testkit::TempDir directory_;
  const std::string path_ = directory_.File("orders.sqlite3");
  sqlite::FailingDisk disk_;
};

TEST_F(OrdersSqliteFaultsTest, StoresAgainOnceAFullDiskHasRoom) {
  const auto store = Open();
  ASSERT_TRUE(Place(*store, "1").ok());
  disk_.FailWrites(ENOSPC);
  EXPECT_TRUE(absl::IsUnavailable(Place(*store, "2").status()));
  EXPECT_TRUE(store->Find("order-1", Soon())->has_value());
  disk_.FailWrites(0);
  EXPECT_EQ(*store->Find("order-2", Soon()), std::nullopt);
  EXPECT_TRUE(Place(*store, "2")->created);
  EXPECT_EQ(*store->LastSequence(Soon()), 2);
}

// More than SQLite keeps in memory, so that it writes before the commit, and rolls all of it back.
TEST_F(OrdersSqliteFaultsTest, CannotStoreAnOrderLargerThanItsDisk) {
  const auto store = Open();
  OrderStore::NewOrder large{MakeOrder("1"), "reservation"};
  large.order.set_customer(std::string(8'000'000, 'a'));
  disk_.FailWrites(ENOSPC);
  const absl::Status full = store->Place(large, Soon()).status();
  EXPECT_TRUE(absl::IsUnavailable(full)) << full;
  disk_.FailWrites(0);
  EXPECT_EQ(*store->LastSequence(Soon()), 0);
  EXPECT_TRUE(store->Place(large, Soon())->created);
}

TEST_F(OrdersSqliteFaultsTest, ADiskFailureLeavesACommitOpen) {
  const auto store = Open();
  disk_.FailSyncs(EIO);
  const absl::Status open = Place(*store, "1").status();
  EXPECT_TRUE(absl::IsUnknown(open)) << open;
  disk_.FailSyncs(0);
  // The same request settles it.
  ASSERT_TRUE(Place(*store, "1").ok());
  EXPECT_EQ(*store->LastSequence(Soon()), 1);
  EXPECT_EQ(store->OutboxBacklog(Soon())->depth, 1);
}

TEST_F(OrdersSqliteFaultsTest, SettlesNothingHalfOnAFullDisk) {
  const auto store = Open();
  ASSERT_TRUE(Place(*store, "1").ok());
  ASSERT_TRUE(Place(*store, "2").ok());
  const auto items = store->Claim(2, std::chrono::minutes(1), Soon());
  ASSERT_EQ(items->size(), 2u);
  const std::vector<Settlement> settlements = {{items->at(0), v1::ORDER_STATE_CONFIRMED},
                                               {items->at(1), v1::ORDER_STATE_CONFIRMED}};
  disk_.FailWrites(ENOSPC);
  EXPECT_TRUE(absl::IsUnavailable(store->Settle(settlements, Soon()).status()));
  disk_.FailWrites(0);
  EXPECT_EQ(*store->LastSequence(Soon()), 2);
  EXPECT_TRUE(store->Settle(settlements, Soon()).ok());
  EXPECT_TRUE(store->Settle(settlements, Soon()).ok());
  EXPECT_EQ(*store->LastSequence(Soon()), 4);
}

TEST_F(OrdersSqliteFaultsTest, NoticesAndReplacesDamagedTotals) {
  const auto store = Open();
  ASSERT_TRUE(store->SaveTotals({.sequence = 9, .quantity_by_sku = {{"tea", 7}}}, Soon()).ok());
  const auto raw = OpenRaw(2);
  ASSERT_TRUE(raw->Run("UPDATE sales_totals SET quantity = 8").ok());
  EXPECT_TRUE(absl::IsDataLoss(store->LoadTotals(Soon()).status()));

  ASSERT_TRUE(store->SaveTotals({.sequence = 3, .quantity_by_sku = {{"tea", 5}}}, Soon()).ok());
  EXPECT_THAT(store->LoadTotals(Soon())->quantity_by_sku, ElementsAre(Pair("tea", 5)));
  EXPECT_EQ(store->LoadTotals(Soon())->sequence, 3);
  sqlite::Statement aside = raw->Query("SELECT sku, quantity, sequence FROM sales_totals_damaged");
  ASSERT_TRUE(aside.Next()) << aside.status();
  EXPECT_EQ(aside.String(0), "tea");
  EXPECT_EQ(aside.Int64(1), 8);
  EXPECT_EQ(aside.Int64(2), 9);
}

TEST_F(OrdersSqliteFaultsTest, WorksBesideAProgramWithTheFirstSchema) {
  const auto running = OpenRaw(1);
  const auto store = Open();
  const auto rolled_back = OpenRaw(1);
  for (sqlite::Database* old : {running.get(), rolled_back.get()}) {
    const std::string id = old == running.get() ? "1" : "2";
    const sqlite::Blob body{MakeOrder(id).SerializeAsString()};
    ASSERT_TRUE(old->Run("INSERT INTO orders (order_id, request_id, body) VALUES (?, ?, ?)",
                         "order-" + id, "request-" + id, body)
                    .ok());
    ASSERT_TRUE(old->Run("INSERT INTO events (body) VALUES (?)", body).ok());
    ASSERT_TRUE(old->Run("INSERT INTO outbox (order_id, reservation_id) VALUES (?, ?)",
                         "order-" + id, "reservation-" + id)
                    .ok());
  }
  EXPECT_EQ(store->OutboxBacklog(Soon())->oldest_age.count(), 0) << "it is not known";
  ASSERT_TRUE(Place(*store, "3").ok());
  EXPECT_TRUE(testkit::Eventually(
      [&] { return store->OutboxBacklog(Soon())->oldest_confirm_age.count() > 0; }));
  EXPECT_EQ(store->EventsAfter(0, 10, Soon())->size(), 3u);
  const auto items = store->Claim(10, std::chrono::minutes(1), Soon());
  ASSERT_EQ(items->size(), 3u);
  ASSERT_TRUE(store->Settle({{items->at(0), v1::ORDER_STATE_CONFIRMED}}, Soon()).ok());

  // As the first version settles, and saves its totals.
  ASSERT_TRUE(running->Run("DELETE FROM outbox WHERE id = ?", items->at(1).id).ok());
  ASSERT_TRUE(store->SaveTotals({.sequence = 4, .quantity_by_sku = {{"tea", 6}}}, Soon()).ok());
  ASSERT_TRUE(
      running
          ->RunScript("UPDATE sales_totals_reach SET sequence = 5; DELETE FROM sales_totals;"
                      "INSERT INTO sales_totals VALUES ('tea', 8)")
          .ok());
  EXPECT_THAT(store->LoadTotals(Soon())->quantity_by_sku, ElementsAre(Pair("tea", 8)));
  EXPECT_EQ(store->OutboxBacklog(Soon())->depth, 1);
}

// It would confirm what it finds in the outbox.
TEST_F(OrdersSqliteFaultsTest, AProgramWithTheFirstSchemaFindsNoReleases) {
  const auto running = OpenRaw(1);
  const auto store = Open();
  for (const std::string id : {"1", "2"}) ASSERT_TRUE(Place(*store, id).ok());
  ASSERT_TRUE(store->Cancel("order-2", Soon()).ok());
  ASSERT_TRUE(store->Cancel("order-1", Soon()).ok());
  sqlite::Statement found = running->Query(
      "SELECT id, order_id, reservation_id FROM outbox WHERE id > 0 ORDER BY id LIMIT 64");
  EXPECT_FALSE(found.Next()) << found.String(1);
  EXPECT_TRUE(found.status().ok()) << found.status();

  EXPECT_EQ(store->OutboxBacklog(Soon())->depth, 2);
  EXPECT_EQ(store->OutboxBacklog(Soon())->oldest_confirm_age.count(), 0);
  const auto releases = store->Claim(10, std::chrono::minutes(1), Soon());
  ASSERT_EQ(releases->size(), 2u);
  for (const OutboxItem& item : *releases) {
    EXPECT_EQ(store->Settle({{item, std::nullopt}}, Soon())->removed, 1);
  }
  EXPECT_EQ(store->Find("order-1", Soon())->value().state(), v1::ORDER_STATE_CANCELLED);
}

TEST_F(OrdersSqliteFaultsTest, CancelsAnOrderThatAnOlderProgramStored) {
  const auto store = Open();
  const auto old = OpenRaw(1);
  for (const std::string id : {"1", "2"}) {
    ASSERT_TRUE(old->Run("INSERT INTO orders (order_id, request_id, body) VALUES (?, ?, ?)",
                         "order-" + id, "request-" + id,
                         sqlite::Blob{MakeOrder(id).SerializeAsString()})
                    .ok());
    ASSERT_TRUE(old->Run("INSERT INTO outbox (order_id, reservation_id) VALUES (?, ?)",
                         "order-" + id, "reservation-" + id)
                    .ok());
  }
  const auto confirm = store->Claim(1, std::chrono::minutes(1), Soon());
  ASSERT_EQ(confirm->at(0).order_id, "order-1");
  ASSERT_TRUE(store->Settle({{confirm->at(0), v1::ORDER_STATE_CONFIRMED}}, Soon()).ok());

  for (const std::string id : {"1", "2"}) {
    const absl::Status cancelled = store->Cancel("order-" + id, Soon()).status();
    ASSERT_TRUE(cancelled.ok()) << id << ": " << cancelled;
  }
  const auto releases = store->Claim(10, std::chrono::minutes(1), Soon());
  std::vector<std::string> reservations;  // In any order, as both may be of one millisecond.
  for (const OutboxItem& item : *releases) {
    EXPECT_EQ(item.kind, OutboxItem::Kind::kRelease);
    reservations.push_back(item.reservation_id);
  }
  EXPECT_THAT(reservations, UnorderedElementsAre("reservation-1", "reservation-2"));
}

TEST_F(OrdersSqliteFaultsTest, WritesNowhereOnceItsFileIsGone) {
  const std::string other = directory_.File("other.sqlite3");
  {
    const auto store = *SqliteOrderStore::Open(other);
    ASSERT_TRUE(Place(*store, "of another shop").ok());
  }
  const auto store = Open();
  ASSERT_TRUE(Place(*store, "1").ok());
  fs::rename(path_, path_ + ".moved");
  fs::copy(other, path_);

  EXPECT_TRUE(absl::IsFailedPrecondition(Place(*store, "2").status()));
  EXPECT_TRUE(store->Find("order-1", Soon())->has_value()) << "reads go on";
  const auto restored = Open();
  EXPECT_EQ(*restored->Find("order-1", Soon()), std::nullopt);
  EXPECT_TRUE(restored->Find("order-of another shop", Soon())->has_value());
  const absl::Status closed = store->Close(Soon());
  EXPECT_TRUE(absl::IsFailedPrecondition(closed)) << closed;
  EXPECT_THAT(closed.ToString(), HasSubstr(path_ + "-wal.aside"));
  EXPECT_TRUE(Place(*restored, "3").ok()) << "its log is its own";

  // Put back as the message says.
  fs::rename(path_ + ".moved", directory_.File("again.sqlite3"));
  fs::rename(path_ + "-wal.aside", directory_.File("again.sqlite3-wal"));
  const auto again = SqliteOrderStore::Open(directory_.File("again.sqlite3"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE((*again)->Find("order-1", Soon())->has_value());
}

}  // namespace
}  // namespace orders
