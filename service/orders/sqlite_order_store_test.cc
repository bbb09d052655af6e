#include "service/orders/sqlite_order_store.h"

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/sqlite_order_schema.h"
#include "service/orders/testing/order_store_contract.h"
#include "service/sqlite/database.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace orders {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using testkit::Soon;

class SqliteFile final : public DatabaseUnderTest {
 public:
  absl::StatusOr<std::unique_ptr<OrderStore>> Open() override {
    absl::StatusOr<std::unique_ptr<SqliteOrderStore>> store =
        SqliteOrderStore::Open(directory_.File("orders.sqlite3"));
    if (!store.ok()) return store.status();
    return std::unique_ptr<OrderStore>(*std::move(store));
  }
  absl::Status RunSql(const std::string& sql) override {
    const auto database =
        sqlite::Database::Open(directory_.File("orders.sqlite3"), SqliteOrderSchema(), {});
    return database.ok() ? (*database)->RunScript(sql) : database.status();
  }

 private:
  const testkit::TempDir directory_;
};

INSTANTIATE_TEST_SUITE_P(
    Sqlite, OrderStoreContract,
    ::testing::Values(StoreKind{
        .name = "SQLite",
        .make_database = [] { return std::make_unique<SqliteFile>(); },
        .new_id_sql = "UPDATE database_identity SET id = lower(hex(randomblob(16)))",
        .clock_set_back_sql =
            "UPDATE outbox SET due_at = due_at + 300000, created_at = created_at + 300000"}));

class SqliteOrderStoreTest : public ::testing::Test {
 protected:
  const testkit::TempDir directory_;
  const std::string path_ = directory_.File("orders.sqlite3");
};

TEST_F(SqliteOrderStoreTest, HasWhatItAcknowledgedAfterAKill) {
  const auto store = SqliteOrderStore::Open(path_);
  ASSERT_TRUE(store.ok()) << store.status();
  orders::v1::Order order;
  order.set_order_id("order-1");
  order.set_request_id("request-1");
  ASSERT_TRUE((*store)->Place({order, "reservation-1"}, Soon()).ok());

  // What kill -9 leaves: the files as they are now.
  const std::string left = directory_.File("left.sqlite3");
  fs::copy(path_, left);
  fs::copy(path_ + "-wal", left + "-wal");
  const auto again = SqliteOrderStore::Open(left);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE((*again)->Find("order-1", Soon())->has_value());
  EXPECT_FALSE((*again)->Place({order, "reservation-1"}, Soon())->created);
  EXPECT_EQ((*again)->OutboxBacklog(Soon())->depth, 1);
}

TEST_F(SqliteOrderStoreTest, LooksEverythingUpInAnIndex) {
  ASSERT_TRUE(SqliteOrderStore::Open(path_).ok());
  const auto database = sqlite::Database::OpenForReading(path_, {});
  ASSERT_TRUE(database.ok()) << database.status();
  const std::vector<std::string> queries = {
      "SELECT body FROM orders WHERE request_id = 'r'",
      "SELECT body FROM orders WHERE order_id = 'o'",
      "SELECT body FROM orders WHERE position >= 5 ORDER BY position LIMIT 2",
      "SELECT body FROM events WHERE sequence > 5 ORDER BY sequence LIMIT 2",
      "SELECT max(sequence) FROM events",
      "SELECT id FROM outbox WHERE due_at <= 5 ORDER BY due_at, id LIMIT 2",
      "SELECT id FROM outbox WHERE due_at > 5",
      "SELECT id FROM outbox WHERE order_id = 'o'",
  };
  for (const std::string& query : queries) {
    sqlite::Statement plan = (*database)->Query("EXPLAIN QUERY PLAN " + query);
    ASSERT_TRUE(plan.Next()) << plan.status();
    EXPECT_THAT(plan.String(3), HasSubstr("SEARCH")) << query;
    EXPECT_FALSE(plan.Next()) << query << " also needs: " << plan.String(3);
  }
}

TEST_F(SqliteOrderStoreTest, RefusesTheFileOfAnotherServer) {
  const sqlite::Schema others{.application_id = 1, .migrations = {"CREATE TABLE stock (sku TEXT)"}};
  ASSERT_TRUE(sqlite::Database::Open(path_, others, {}).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(SqliteOrderStore::Open(path_).status()));
}

}  // namespace
}  // namespace orders
