#include "service/orders/postgres_order_store.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/testing/order_store_contract.h"
#include "service/postgres/connection.h"
#include "service/postgres/testing/server_under_test.h"
#include "spdlog/sinks/base_sink.h"
#include "spdlog/spdlog.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using postgres::Statement;
using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::Not;
using testkit::Soon;

OrderStore::NewOrder NewOrder(const std::string& id) {
  OrderStore::NewOrder wanted;
  wanted.order.set_order_id("order " + id);
  wanted.order.set_request_id("request " + id);
  wanted.order.set_customer("ada");
  v1::OrderItem& item = *wanted.order.add_items();
  item.set_sku("te\"a\\\n");
  item.set_quantity(1);
  wanted.reservation_id = "reservation " + id;
  return wanted;
}

absl::Status Place(OrderStore& store, const std::string& id,
                   OrderStore::Deadline deadline = Soon()) {
  return store.Place(NewOrder(id), deadline).status();
}

class PostgresDatabase final : public DatabaseUnderTest {
 public:
  absl::StatusOr<std::unique_ptr<OrderStore>> Open() override {
    if (!url_.ok()) return url_.status();
    absl::StatusOr<std::unique_ptr<PostgresOrderStore>> store = PostgresOrderStore::Open(*url_, {});
    if (!store.ok()) return store.status();
    return std::unique_ptr<OrderStore>(*std::move(store));
  }

  absl::Status RunSql(const std::string& sql) override {
    const auto connection = postgres::Connection::Open(*postgres::Url::Parse(*url_), {}, Soon());
    return connection.ok() ? (*connection)->RunScript(sql, Soon()) : connection.status();
  }

 private:
  const absl::StatusOr<std::string> url_ = postgres::Environment().server->CreateDatabase();
};

INSTANTIATE_TEST_SUITE_P(
    Postgres, OrderStoreContract,
    ::testing::Values(StoreKind{
        .name = "PostgreSQL",
        .make_database = [] { return std::make_unique<PostgresDatabase>(); },
        .new_id_sql = "UPDATE database_identity SET id = replace(gen_random_uuid()::text, '-', '')",
        .clock_set_back_sql = "UPDATE outbox SET due_at = due_at + interval '5 minutes', "
                              "created_at = created_at + interval '5 minutes'"}));

class PostgresOrderStoreTest : public postgres::ServerUnderTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ServerUnderTest::SetUp());
    const auto database = server_->CreateDatabase();
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *database;
    store_ = Open();
  }

  std::unique_ptr<PostgresOrderStore> Open(const PostgresOrderStore::Options& options = {}) {
    auto store = PostgresOrderStore::Open(database_, options);
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  // Another program, in the same database.
  std::unique_ptr<postgres::Connection> Stranger() {
    auto connection = postgres::Connection::Open(*postgres::Url::Parse(database_), {}, Soon());
    EXPECT_TRUE(connection.ok()) << connection.status();
    return connection.ok() ? *std::move(connection) : nullptr;
  }

  bool StrangerFinds(const std::string& sql) {
    return testkit::Eventually(
        [&] { return Stranger()->Query(Statement(sql), Soon())->size() > 0; });
  }

  // A transaction that waits at its end for the advisory lock 1. `connection` outlives it.
  static std::future<absl::Status> CommitOnceUnlocked(postgres::Connection& connection,
                                                      std::vector<Statement> statements) {
    statements.emplace_back("SELECT pg_advisory_xact_lock(1)");
    return std::async(std::launch::async, [&connection, statements = std::move(statements)] {
      return connection.Commit(statements, Soon()).status();
    });
  }

  // A user with this name and only these rights to the tables. Returns the database's URL for it.
  std::string MakeUser(const std::string& name, const std::string& options,
                       const std::string& rights = "SELECT, INSERT, UPDATE, DELETE") {
    const absl::Status made = Stranger()->RunScript(
        absl::StrCat("CREATE ROLE ", name, " LOGIN PASSWORD 'user' ", options, "; GRANT ", rights,
                     " ON ALL TABLES IN SCHEMA public TO ", name),
        Soon());
    EXPECT_TRUE(made.ok()) << made;
    return absl::StrCat("postgresql://", name, ":user@", database_.substr(database_.find('@') + 1));
  }

  // How often the server has had too many connections of this user.
  std::size_t Refusals(const std::string& user) const {
    const std::string sign = "too many connections for role \"" + user + "\"";
    const std::string log = server_->Log();
    std::size_t count = 0;
    for (std::size_t at = log.find(sign); at != log.npos; at = log.find(sign, at + 1)) ++count;
    return count;
  }

  std::string database_;
  std::unique_ptr<PostgresOrderStore> store_;
};

// Each: the first pool's connection, the writer's, the migration's.
TEST_F(PostgresOrderStoreTest, WaitsAtTheStartForEachOfItsConnections) {
  for (const int limit : {0, 1, 2}) {
    const std::string user = absl::StrCat("user", limit);
    const std::string url = MakeUser(user, absl::StrCat("CONNECTION LIMIT ", limit));
    auto opening = std::async(std::launch::async, [&] {
      return PostgresOrderStore::Open(url, {.start_timeout = testkit::kLong}).status();
    });
    EXPECT_TRUE(testkit::Eventually([&] { return Refusals(user) > 0; }));
    EXPECT_TRUE(Stranger()->RunScript("ALTER ROLE " + user + " CONNECTION LIMIT -1", Soon()).ok());
    const absl::Status opened = opening.get();
    EXPECT_TRUE(opened.ok()) << limit << ": " << opened;
  }
}

TEST_F(PostgresOrderStoreTest, AStartThatFailsGivesTheReasonOfTheServer) {
  const std::string url = MakeUser("nobody_else", "CONNECTION LIMIT 0");
  auto opening = std::async(std::launch::async, [&] {
    return PostgresOrderStore::Open(url, {.start_timeout = milliseconds(3000)}).status();
  });
  // Of two that the server has refused, the first was heard; the last attempt has no answer.
  EXPECT_TRUE(testkit::Eventually([&] { return Refusals("nobody_else") > 1; }));
  server_->Pause();
  const absl::Status refused = opening.get();
  server_->Resume();
  EXPECT_TRUE(absl::IsUnavailable(refused)) << refused;
  EXPECT_THAT(refused.ToString(), HasSubstr("53300"));
}

// Keeps what is logged, and may be asked while others log.
class Log final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  bool Has(const std::string& text) {
    const std::lock_guard lock(mutex_);
    return lines_.find(text) != std::string::npos;
  }

 protected:
  void sink_it_(const spdlog::details::log_msg& line) override {
    lines_.append(line.payload.data(), line.payload.size()).append("\n");
  }
  void flush_() override {}

 private:
  std::string lines_;  // Guarded by the base's mutex.
};

TEST_F(PostgresOrderStoreTest, SaysWhyItsStartTakesLong) {
  const auto stranger = Stranger();
  ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  const auto replica = Stranger();
  auto holder = CommitOnceUnlocked(*replica, {Statement("LOCK TABLE schema_version")});
  ASSERT_TRUE(StrangerFinds("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"));
  const auto before = spdlog::default_logger();
  const auto log = std::make_shared<Log>();
  spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", log));
  auto opening = std::async(std::launch::async, [this] { return Open() != nullptr; });
  EXPECT_TRUE(testkit::Eventually([&] { return log->Has("pg_blocking_pids"); }));
  EXPECT_TRUE(log->Has("it changes them, or waits for the server or for a lock"));
  EXPECT_FALSE(log->Has(postgres::PostgresServer::Password()));
  EXPECT_TRUE(stranger->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(holder.get().ok());
  EXPECT_TRUE(opening.get());
  spdlog::set_default_logger(before);
}

TEST_F(PostgresOrderStoreTest, SaysAtTheStartWhichRightIsMissing) {
  const std::string url = MakeUser("guest", "");
  ASSERT_TRUE(Stranger()->RunScript("REVOKE ALL ON events FROM guest", Soon()).ok());
  const absl::Status refused = PostgresOrderStore::Open(url, {}).status();
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  for (const char* part :
       {"cannot use postgresql://guest@", "table events", "GRANT SELECT, INSERT, UPDATE, DELETE"}) {
    EXPECT_THAT(std::string(refused.message()), HasSubstr(part));
  }
}

// Without its row nothing would number the events.
TEST_F(PostgresOrderStoreTest, RefusesToWriteWhenTheLogsRowIsNotTheOnlyOne) {
  for (const char* damage : {"DELETE FROM log", "INSERT INTO log VALUES (0), (0)"}) {
    ASSERT_TRUE(Stranger()->RunScript(damage, Soon()).ok());
    const absl::Status refused = Place(*store_, "1");
    EXPECT_TRUE(absl::IsInternal(refused)) << refused;
    EXPECT_THAT(std::string(refused.message()), HasSubstr("the table log must have one row"));
    EXPECT_FALSE(store_->LastSequence(Soon()).ok());
  }
  EXPECT_FALSE(store_->FindByRequestId("request 1", Soon())->has_value());
  ASSERT_TRUE(Stranger()->RunScript("DELETE FROM log; INSERT INTO log VALUES (0)", Soon()).ok());
  EXPECT_TRUE(Place(*store_, "1").ok());
}

// It holds the log's row: who waited for another one would stop all replicas.
TEST_F(PostgresOrderStoreTest, SettlesTheRestWhileARowIsLocked) {
  std::int64_t last = 0;
  for (const std::string table : {"orders", "outbox"}) {
    for (const char* id : {"1", "2"}) ASSERT_TRUE(Place(*store_, table + id).ok());
    const auto items = store_->Claim(10, std::chrono::minutes(1), Soon());
    ASSERT_TRUE(items.ok()) << items.status();
    ASSERT_EQ(items->size(), 2u);
    std::vector<Settlement> settlements;
    for (const OutboxItem& item : *items) settlements.push_back({item, v1::ORDER_STATE_CONFIRMED});

    const auto stranger = Stranger();
    ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
    const auto replica = Stranger();
    auto holder = CommitOnceUnlocked(
        *replica, {Statement("SELECT 1 FROM " + table +
                             " WHERE position = (SELECT min(position) FROM outbox) FOR UPDATE")});
    ASSERT_TRUE(StrangerFinds("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"));
    const auto some = store_->Settle(settlements, Soon());
    ASSERT_TRUE(some.ok()) << some.status();
    EXPECT_EQ(some->removed, 1);
    EXPECT_EQ(some->locked, 1);
    ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
    EXPECT_TRUE(holder.get().ok());
    const auto other = store_->Settle(settlements, Soon());
    ASSERT_TRUE(other.ok()) << other.status();
    EXPECT_EQ(other->removed, 1);
    EXPECT_EQ(other->locked, 0);
    const auto none = store_->Settle(settlements, Soon());
    ASSERT_TRUE(none.ok()) << none.status();
    EXPECT_EQ(none->removed + none->locked, 0);

    const auto events = store_->EventsAfter(last + 2, 10, Soon());
    ASSERT_TRUE(events.ok()) << events.status();
    ASSERT_EQ(events->size(), 2u);
    EXPECT_EQ(events->at(0).order.order_id(), "order " + table + "2");
    EXPECT_EQ(events->at(1).order.order_id(), "order " + table + "1");
    last = events->at(1).sequence;
  }
}

// As above.
TEST_F(PostgresOrderStoreTest, CancelsOthersWhileAnOrderIsLocked) {
  for (const char* id : {"1", "2"}) ASSERT_TRUE(Place(*store_, id).ok());
  const auto stranger = Stranger();
  ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  const auto replica = Stranger();
  auto holder = CommitOnceUnlocked(
      *replica, {Statement("SELECT 1 FROM orders WHERE order_id = 'order 1' FOR UPDATE")});
  ASSERT_TRUE(StrangerFinds("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"));
  const auto shortly = steady_clock::now() + milliseconds(5000);
  const absl::Status locked = store_->Cancel("order 1", shortly).status();
  EXPECT_TRUE(absl::IsUnavailable(locked)) << locked;
  EXPECT_THAT(locked.ToString(), HasSubstr("locked by another program")) << "it has not waited";
  EXPECT_TRUE(store_->Cancel("order 2", Soon()).ok());
  EXPECT_TRUE(Place(*store_, "3").ok());
  ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(holder.get().ok());

  EXPECT_EQ(*store_->LastSequence(Soon()), 4);
  for (int i = 0; i < 2; ++i) {
    const auto cancelled = store_->Cancel("order 1", Soon());
    ASSERT_TRUE(cancelled.ok()) << cancelled.status();
    EXPECT_EQ(cancelled->state(), v1::ORDER_STATE_CANCELLED);
    EXPECT_EQ(*store_->LastSequence(Soon()), 5);
  }
}

// A reader that has seen event 2 must never meet event 1 later.
TEST_F(PostgresOrderStoreTest, ShowsNoEventBeforeEarlierOnes) {
  // One that has its place in the log and is not committed.
  const auto slow = Stranger();
  ASSERT_TRUE(slow->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  const auto replica = Stranger();
  auto first = CommitOnceUnlocked(
      *replica, {Statement("SELECT last FROM log FOR UPDATE"),
                 Statement("INSERT INTO orders (order_id, request_id, reservation_id, state, "
                           "items, body) VALUES ('slow', 'slow', 'r', 1, '{}', '')"),
                 Statement("INSERT INTO events SELECT last + 1, position, 1 FROM log, orders"),
                 Statement("UPDATE log SET last = last + 1")});
  ASSERT_TRUE(StrangerFinds("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"));
  auto second = std::async(std::launch::async, [&] { return Place(*store_, "fast"); });
  // It waits for its place: for the row of the log, or for the transaction that holds it.
  ASSERT_TRUE(StrangerFinds(
      "SELECT 1 FROM pg_stat_activity WHERE wait_event IN ('transactionid', 'tuple') OR "
      "EXISTS (SELECT 1 FROM events)"));
  const auto early = store_->EventsAfter(0, 10, Soon());
  ASSERT_TRUE(early.ok()) << "the later event is seen alone: " << early.status();
  EXPECT_EQ(early->size(), 0u);

  ASSERT_TRUE(slow->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
  const auto events = store_->EventsAfter(0, 10, Soon());
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ(events->at(1).sequence, 2);
  EXPECT_EQ(events->at(1).order.order_id(), "order fast");
}

TEST_F(PostgresOrderStoreTest, ReadsAndClaimsWhileItsWriterWaits) {
  const auto store = Open({.connections = 1});
  ASSERT_TRUE(Place(*store, "1").ok());
  const auto stranger = Stranger();
  ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  const auto replica = Stranger();
  auto holder = CommitOnceUnlocked(*replica, {Statement("SELECT last FROM log FOR UPDATE")});
  ASSERT_TRUE(StrangerFinds("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"));
  auto waiting = std::async(std::launch::async, [&] { return Place(*store, "2"); });
  ASSERT_TRUE(StrangerFinds("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'transactionid'"));

  // A read that waited for the writer would do so until its deadline.
  EXPECT_TRUE(store->Find("order 1", Soon()).ok());
  EXPECT_TRUE(store->EventsAfter(0, 10, Soon()).ok());
  EXPECT_TRUE(store->Claim(10, milliseconds(0), Soon()).ok());
  ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(holder.get().ok());
  EXPECT_TRUE(waiting.get().ok());
}

TEST_F(PostgresOrderStoreTest, ClaimsTheRestWhileAnotherProcessClaims) {
  for (const char* id : {"1", "2"}) ASSERT_TRUE(Place(*store_, id).ok());
  const auto stranger = Stranger();
  ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  const auto replica = Stranger();
  auto claiming = CommitOnceUnlocked(
      *replica, {Statement("UPDATE outbox SET due_at = now() + interval '1 minute' WHERE id = "
                           "(SELECT min(id) FROM outbox)")});
  ASSERT_TRUE(StrangerFinds("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"));
  const auto items = store_->Claim(10, std::chrono::minutes(1), Soon());
  ASSERT_TRUE(items.ok()) << items.status();
  ASSERT_EQ(items->size(), 1u);
  EXPECT_EQ(items->front().order_id, "order 2");
  ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(claiming.get().ok());
}

TEST_F(PostgresOrderStoreTest, NeedsRightsToTheDataOnlyOnceItsTablesAreThere) {
  ASSERT_TRUE(Stranger()
                  ->RunScript("CREATE ROLE clerk LOGIN PASSWORD 'clerk';"
                              "REVOKE CREATE ON SCHEMA public FROM PUBLIC;"
                              "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public "
                              "TO clerk",
                              Soon())
                  .ok());
  const std::string of_clerk =
      absl::StrCat("postgresql://clerk:clerk@", database_.substr(database_.find('@') + 1));
  const auto store = PostgresOrderStore::Open(of_clerk, {});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE(Place(**store, "1").ok());
  EXPECT_TRUE((*store)->Cancel("order 1", Soon()).ok());
  const auto items = (*store)->Claim(10, milliseconds(0), Soon());
  ASSERT_TRUE(items.ok()) << items.status();
  EXPECT_TRUE((*store)->Settle({{items->at(0), std::nullopt}}, Soon()).ok());
  EXPECT_TRUE((*store)->SaveTotals({.sequence = 2, .quantity_by_sku = {}}, Soon()).ok());
  EXPECT_EQ((*store)->Trim(2, Soon(), {}).value_or(-1), 1);
}

TEST_F(PostgresOrderStoreTest, RollingBackLeavesNoGapInTheLog) {
  ASSERT_TRUE(Place(*store_, "1").ok());
  OrderStore::NewOrder bad = NewOrder("2");
  bad.order.set_request_id(std::string("zero\0byte", 9));
  EXPECT_TRUE(absl::IsInvalidArgument(store_->Place(bad, Soon()).status()));
  ASSERT_TRUE(Place(*store_, "3").ok());
  EXPECT_EQ(*store_->LastSequence(Soon()), 2);
  EXPECT_EQ(store_->EventsAfter(0, 10, Soon())->size(), 2u);
}

TEST_F(PostgresOrderStoreTest, WakesWhoeverWaitsForEventsOfAnotherProcess) {
  const auto other = Open();
  // Often enough that looking now and then would not do.
  for (int i = 0; i < 20; ++i) {
    auto waiting =
        std::async(std::launch::async, [&] { return store_->AwaitEventsAfter(i, 10, Soon(), {}); });
    ASSERT_TRUE(Place(*other, std::to_string(i)).ok());
    const auto events = waiting.get();
    ASSERT_TRUE(events.ok()) << events.status();
    EXPECT_EQ(events->size(), 1u);
  }
}

TEST_F(PostgresOrderStoreTest, FailsOnlyWhileTheServerIsAway) {
  ASSERT_TRUE(Place(*store_, "1").ok());
  server_->Kill();
  const absl::Status away = Place(*store_, "2");
  EXPECT_TRUE(absl::IsUnavailable(away) || absl::IsUnknown(away)) << away;
  EXPECT_THAT(away.ToString(), Not(HasSubstr(postgres::PostgresServer::Password())));
  EXPECT_FALSE(store_->LastSequence(Soon()).ok());
  ASSERT_TRUE(server_->StartAgain().ok());
  EXPECT_TRUE(testkit::Eventually([&] { return Place(*store_, "2").ok(); }));
  EXPECT_EQ(*store_->LastSequence(Soon()), 2);
  auto waiting =
      std::async(std::launch::async, [&] { return store_->AwaitEventsAfter(2, 10, Soon(), {}); });
  ASSERT_TRUE(Place(*store_, "3").ok());
  EXPECT_EQ(waiting.get()->size(), 1u);
}

TEST_F(PostgresOrderStoreTest, PlacingAgainSettlesAnOpenOutcome) {
  // The commit has begun, and does not end in time.
  ASSERT_TRUE(Stranger()
                  ->RunScript("CREATE FUNCTION hang() RETURNS trigger AS $$ BEGIN PERFORM "
                              "pg_advisory_xact_lock(1); RETURN NULL; END $$ LANGUAGE plpgsql; "
                              "CREATE CONSTRAINT TRIGGER hang AFTER INSERT ON events DEFERRABLE "
                              "INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hang()",
                              Soon())
                  .ok());
  const auto holder = Stranger();
  ASSERT_TRUE(holder->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  const absl::Status open = Place(*store_, "1", steady_clock::now() + milliseconds(500));
  EXPECT_FALSE(open.ok());
  ASSERT_TRUE(holder->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(testkit::Eventually([&] { return Place(*store_, "1").ok(); }));
  EXPECT_EQ(*store_->LastSequence(Soon()), 1);
  EXPECT_EQ(store_->OutboxBacklog(Soon())->depth, 1);
}

TEST_F(PostgresOrderStoreTest, TellsWhoeverLeftThatTheirOrderIsNotStored) {
  // The first waits for the lock 1, the patient for the lock 2.
  ASSERT_TRUE(
      Stranger()
          ->RunScript("CREATE FUNCTION hang() RETURNS trigger AS $$ BEGIN IF NEW.request_id "
                      "LIKE '%first%' THEN PERFORM pg_advisory_xact_lock(1); ELSIF "
                      "NEW.request_id LIKE '%patient%' THEN PERFORM "
                      "pg_advisory_xact_lock(2); END IF; RETURN NEW; END $$ LANGUAGE "
                      "plpgsql; CREATE TRIGGER hang BEFORE INSERT ON orders FOR EACH ROW "
                      "EXECUTE FUNCTION hang()",
                      Soon())
          .ok());
  const auto told = std::make_shared<std::promise<void>>();
  absl::Status open;
  // It leaves during a commit if it shares that of the patient, which waits with it for the first's.
  for (int tries = 0; !absl::IsUnknown(open) && tries < 20; ++tries) {
    const auto one = Stranger();
    const auto two = Stranger();
    ASSERT_TRUE(one->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
    ASSERT_TRUE(two->Query(Statement("SELECT pg_advisory_lock(2)"), Soon()).ok());
    auto first = std::async(std::launch::async,
                            [&] { return Place(*store_, absl::StrCat("first", tries)); });
    ASSERT_TRUE(StrangerFinds("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"));
    auto patient = std::async(std::launch::async,
                              [&] { return Place(*store_, absl::StrCat("patient", tries)); });
    auto leaving = std::async(std::launch::async, [&] {
      OrderStore::NewOrder order = NewOrder(absl::StrCat("left", tries));
      order.not_stored = [told] { told->set_value(); };
      const auto deadline = steady_clock::now() + milliseconds(250) * (1 + tries);
      return store_->Place(std::move(order), deadline).status();
    });
    ASSERT_TRUE(one->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
    EXPECT_TRUE(first.get().ok());
    open = leaving.get();
    const Statement terminate(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory'");
    ASSERT_TRUE(testkit::Eventually([&] { return two->Query(terminate, Soon())->size() > 0; }));
    EXPECT_FALSE(patient.get().ok());
  }
  ASSERT_TRUE(absl::IsUnknown(open)) << open;
  EXPECT_EQ(told->get_future().wait_for(testkit::kLong), std::future_status::ready);
}

TEST_F(PostgresOrderStoreTest, ClosesInTimeWhileTheServerIsFrozen) {
  auto waiting =
      std::async(std::launch::async, [&] { return store_->AwaitEventsAfter(0, 10, Soon(), {}); });
  server_->Pause();
  auto placing = std::async(std::launch::async, [&] { return Place(*store_, "1"); });
  const absl::Status closed = store_->Close(steady_clock::now() + milliseconds(800));
  server_->Resume();
  EXPECT_TRUE(closed.ok() || absl::IsDeadlineExceeded(closed)) << closed;
  // Its statements may end as soon as the server goes on; then it says so truly.
  const bool placed = placing.get().ok();
  EXPECT_TRUE(!placed || StrangerFinds("SELECT 1 FROM orders"));
  EXPECT_FALSE(waiting.get().ok());
}

TEST_F(PostgresOrderStoreTest, PutsDamagedTotalsAside) {
  ASSERT_TRUE(store_->SaveTotals({.sequence = 5, .quantity_by_sku = {{"apple", 3}}}, Soon()).ok());
  ASSERT_TRUE(
      Stranger()->Query(Statement("UPDATE sales_totals SET quantities = '{4}'"), Soon()).ok());
  EXPECT_TRUE(absl::IsDataLoss(store_->LoadTotals(Soon()).status()));
  ASSERT_TRUE(store_->SaveTotals({.sequence = 3, .quantity_by_sku = {{"apple", 2}}}, Soon()).ok());
  EXPECT_EQ(store_->LoadTotals(Soon())->sequence, 3);
  EXPECT_TRUE(StrangerFinds("SELECT 1 FROM sales_totals_damaged WHERE sequence = 5"));
}

TEST_F(PostgresOrderStoreTest, KeepsTotalsThatAnotherReplicaPutRight) {
  const auto save = [this](std::int64_t sequence) {
    return store_->SaveTotals({.sequence = sequence, .quantity_by_sku = {{"apple", 3}}}, Soon());
  };
  ASSERT_TRUE(save(5).ok());
  const auto stranger = Stranger();
  ASSERT_TRUE(
      stranger->Query(Statement("UPDATE sales_totals SET quantities = '{4}'"), Soon()).ok());
  ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  // Not committed yet: the damage is still to be read.
  const auto replica = Stranger();
  auto repair =
      CommitOnceUnlocked(*replica, {Statement("UPDATE sales_totals SET quantities = '{3}'")});
  ASSERT_TRUE(StrangerFinds("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'advisory'"));
  auto late = std::async(std::launch::async, [&] { return save(3); });
  ASSERT_TRUE(StrangerFinds("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'transactionid'"));
  ASSERT_TRUE(stranger->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(repair.get().ok());
  EXPECT_TRUE(late.get().ok());
  EXPECT_EQ(store_->LoadTotals(Soon())->sequence, 5);
  EXPECT_FALSE(stranger->Query(Statement("SELECT 1 FROM sales_totals_damaged"), Soon())->size() >
               0);
}

// The server waits for a standby that is not there.
class WithoutItsStandbyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server =
        postgres::PostgresServer::Start({.settings = {"synchronous_standby_names=absent"}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    // Both orders as before the standby went away.
    const auto before = Open("?options=-csynchronous_commit%3Dlocal");
    ASSERT_NE(before, nullptr);
    for (const char* id : {"1", "2"}) ASSERT_TRUE(Place(*before, id).ok());
    store_ = Open("");
    ASSERT_NE(store_, nullptr);
  }

  std::unique_ptr<PostgresOrderStore> Open(const std::string& parameters) {
    auto store = PostgresOrderStore::Open(server_->Url("postgres") + parameters, {});
    EXPECT_TRUE(store.ok()) << store.status();
    return store.ok() ? *std::move(store) : nullptr;
  }

  std::unique_ptr<postgres::PostgresServer> server_;
  std::unique_ptr<PostgresOrderStore> store_;
};

TEST_F(WithoutItsStandbyTest, ClaimsAndSavesWhatIsMadeAgainIfItIsLost) {
  const auto items = store_->Claim(10, std::chrono::minutes(1), Soon());
  ASSERT_TRUE(items.ok()) << items.status();
  ASSERT_EQ(items->size(), 2u);
  const absl::Status given = store_->GiveBack({items->at(0)}, Soon());
  EXPECT_TRUE(given.ok()) << given;
  const absl::Status postponed = store_->Postpone({items->at(1)}, milliseconds(0), Soon());
  EXPECT_TRUE(postponed.ok()) << postponed;
  const absl::Status saved =
      store_->SaveTotals({.sequence = 2, .quantity_by_sku = {{"apple", 3}}}, Soon());
  EXPECT_TRUE(saved.ok()) << saved;
  EXPECT_EQ(store_->LoadTotals(Soon())->quantity_by_sku.at("apple"), 3);
  const auto trimmed = store_->Trim(2, Soon(), {});
  EXPECT_EQ(trimmed.value_or(-1), 1) << trimmed.status();
}

TEST_F(WithoutItsStandbyTest, WhatIsBeingSettledKeepsNothingElseFromBeingClaimed) {
  const auto first = store_->Claim(1, milliseconds(0), Soon());
  ASSERT_TRUE(first.ok()) << first.status();
  ASSERT_EQ(first->size(), 1u);
  const auto shortly = steady_clock::now() + milliseconds(2000);
  const absl::Status open =
      store_->Settle({{first->front(), v1::ORDER_STATE_CONFIRMED}}, shortly).status();
  EXPECT_TRUE(absl::IsUnknown(open)) << open;
  EXPECT_EQ(store_->Find("order 1", Soon())->value().state(), v1::ORDER_STATE_PLACED);

  const auto rest = store_->Claim(10, milliseconds(0), Soon());
  ASSERT_TRUE(rest.ok()) << rest.status();
  ASSERT_EQ(rest->size(), 1u);
  EXPECT_EQ(rest->front().order_id, "order 2");
}

TEST_F(PostgresOrderStoreTest, LooksEverythingUpInAnIndex) {
  const auto stranger = Stranger();
  ASSERT_TRUE(stranger->Query(Statement("SET enable_seqscan = off"), Soon()).ok());
  for (const std::string query :
       {"SELECT body FROM orders WHERE request_id = 'r'",
        "SELECT body FROM orders WHERE order_id = 'o'",
        "SELECT body FROM orders WHERE position >= 5 ORDER BY position LIMIT 2",
        "SELECT state FROM events WHERE sequence > 5 ORDER BY sequence LIMIT 2",
        "SELECT id FROM outbox WHERE due_at <= now() OR due_at > now() + interval '2 minutes' "
        "ORDER BY due_at, id LIMIT 2",
        "SELECT created_at FROM outbox ORDER BY id LIMIT 1",
        "SELECT created_at FROM outbox WHERE kind = 0 ORDER BY id LIMIT 1",
        "SELECT id FROM outbox WHERE position = 5"}) {
    const auto plan = stranger->Query(Statement("EXPLAIN " + query), Soon());
    ASSERT_TRUE(plan.ok()) << plan.status();
    std::string text;
    for (int row = 0; row < plan->size(); ++row) text += plan->String(row, 0) + "\n";
    EXPECT_THAT(text, HasSubstr("Index")) << query;
    EXPECT_THAT(text, Not(HasSubstr("Sort"))) << query;
  }
}

}  // namespace
}  // namespace orders
