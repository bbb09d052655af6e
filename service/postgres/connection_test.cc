#include "service/postgres/connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/postgres/sqlstate.h"
#include "service/postgres/testing/postgres_server.h"
#include "service/postgres/testing/server_under_test.h"
#include "tests/common/eventually.h"

namespace postgres {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TimePoint In(milliseconds time) { return steady_clock::now() + time; }

class ConnectionTest : public ServerUnderTest {
 protected:
  // How many rows there are of what `sql` selects, as another session sees it.
  std::int64_t Count(const std::string& sql) {
    if (other_ == nullptr || !other_->IsUsable()) other_ = Connect();
    const auto rows = other_->Query(Statement("SELECT count(*) FROM " + sql), Soon());
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? rows->Int64(0, 0) : -1;
  }

  // Whether a session runs what `sign` is a part of, or only parses it yet.
  bool Runs(const std::string& sign, const std::string& condition = "true") {
    return Count(absl::StrCat("pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid() "
                              "AND query LIKE '%",
                              sign, "%' AND ", condition)) > 0;
  }

  // Whether one sleeps in it: what ends it now does not come before it has begun.
  bool Sleeps(const std::string& sign) { return Runs(sign, "wait_event = 'PgSleep'"); }

  void MakeTable(const std::string& definition = "id bigint PRIMARY KEY") {
    const absl::Status made =
        Connect()->RunScript(absl::StrCat("CREATE TABLE t (", definition, ")"), Soon());
    ASSERT_TRUE(made.ok()) << made;
  }

  // Every COMMIT of a row hangs.
  void MakeCommitsHang() {
    ASSERT_NO_FATAL_FAILURE(MakeTable());
    const absl::Status made = Connect()->RunScript(
        R"sql(
          CREATE FUNCTION hang() RETURNS trigger AS $$
            BEGIN PERFORM pg_sleep(3600); RETURN NULL; END
          $$ LANGUAGE plpgsql;
          CREATE CONSTRAINT TRIGGER hang AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION hang();
        )sql",
        Soon());
    ASSERT_TRUE(made.ok()) << made;
  }

  static Statement Insert(std::int64_t id) { return Statement("INSERT INTO t VALUES ($1)", id); }

 private:
  std::unique_ptr<Connection> other_;
};

TEST_F(ConnectionTest, TakesAndReturnsEveryKindOfValue) {
  const auto connection = Connect();
  const std::string bytes("\0\xff\n", 3);
  const auto row = connection->Query(
      Statement("SELECT $1, $2, $3, ($4)[2], ($5)[1], cardinality($4), NULL::text, 7::int2",
                std::int64_t{-5}, "käse\n", Blob{bytes}, std::vector<std::int64_t>{1, 1LL << 40},
                std::vector<std::string>{"{,}\"", ""}),
      Soon());
  ASSERT_TRUE(row.ok()) << row.status();
  ASSERT_EQ(row->size(), 1);
  EXPECT_EQ(row->Int64(0, 0), -5);
  EXPECT_EQ(row->String(0, 1), "käse\n");
  EXPECT_EQ(row->String(0, 2), bytes);
  EXPECT_EQ(row->Int64(0, 3), 1LL << 40);
  EXPECT_EQ(row->String(0, 4), "{,}\"");
  EXPECT_EQ(row->Int64(0, 5), 2);
  EXPECT_EQ(row->String(0, 6), "");
  EXPECT_EQ(row->Int64(0, 7), 7);
}

TEST_F(ConnectionTest, HasTheNameOfTheProgram) {
  const auto name =
      Connect()->Query(Statement("SELECT current_setting('application_name')"), Soon());
  ASSERT_TRUE(name.ok()) << name.status();
  EXPECT_EQ(name->String(0, 0), program_invocation_short_name);
}

TEST_F(ConnectionTest, PreparesEachTextOnce) {
  const auto connection = Connect();
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_EQ(connection->Query(Statement("SELECT $1 + 1", i), Soon())->Int64(0, 0), i + 1);
  }
  const Statement count("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%+ 1'");
  EXPECT_EQ(connection->Query(count, Soon())->Int64(0, 0), 1);
}

TEST_F(ConnectionTest, CommitsSeveralStatementsOrNone) {
  ASSERT_NO_FATAL_FAILURE(MakeTable());
  const auto connection = Connect();
  const auto stored =
      connection->Commit({Insert(1), Insert(2), Statement("SELECT count(*) FROM t")}, Soon());
  ASSERT_TRUE(stored.ok()) << stored.status();
  ASSERT_EQ(stored->size(), 3u);
  EXPECT_EQ((*stored)[2].Int64(0, 0), 2);

  const absl::Status refused = connection->Commit({Insert(3), Insert(1)}, Soon()).status();
  EXPECT_TRUE(absl::IsInternal(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("23505"));
  EXPECT_EQ(Count("t"), 2);
  EXPECT_TRUE(connection->Commit({Insert(3)}, Soon()).ok()) << "it can be used again";
}

TEST_F(ConnectionTest, PreparesAgainWhatCouldNotBePrepared) {
  const auto connection = Connect();
  EXPECT_FALSE(connection->Query(Insert(1), Soon()).ok());
  ASSERT_NO_FATAL_FAILURE(MakeTable());
  const auto now = connection->Query(Insert(1), Soon());
  EXPECT_TRUE(now.ok()) << now.status();
}

// A fresh connection can run them: the statements are right, and the server has forgotten them, or
// what they return has another type since they were prepared.
TEST_F(ConnectionTest, BreaksWhereItsPreparedStatementsAreOfNoUseAnyMore) {
  ASSERT_NO_FATAL_FAILURE(MakeTable());
  const Statement all("SELECT * FROM t");
  for (const std::string change : {"ALTER TABLE t ALTER id TYPE int", "DEALLOCATE ALL"}) {
    for (const bool commits : {false, true}) {
      const auto connection = Connect();
      const auto run = [&](const Statement& statement) {
        return commits ? connection->Commit({statement}, Soon()).status()
                       : connection->Query(statement, Soon()).status();
      };
      ASSERT_TRUE(run(all).ok());
      ASSERT_TRUE(connection->RunScript(change, Soon()).ok());
      const absl::Status broken = run(all);
      EXPECT_TRUE(absl::IsUnavailable(broken)) << broken;
      EXPECT_FALSE(connection->IsUsable());
      ASSERT_TRUE(Connect()->RunScript("ALTER TABLE t ALTER id TYPE bigint", Soon()).ok());
    }
  }
}

TEST_F(ConnectionTest, IsUsableAfterWhatTheServerCannotDo) {
  const auto connection = Connect();
  const auto unsupported = connection->Query(
      Statement("SELECT 1 FROM (SELECT count(*) AS n FROM pg_class) AS c FOR UPDATE"), Soon());
  EXPECT_TRUE(absl::IsInternal(unsupported.status())) << unsupported.status();
  EXPECT_THAT(unsupported.status().ToString(), HasSubstr("0A000"));
  EXPECT_TRUE(connection->IsUsable());
}

TEST_F(ConnectionTest, SendsAndReadsMoreThanTheSocketsHold) {
  const auto connection = Connect();
  const std::string large(1 << 20, 'x');
  std::vector<Statement> statements;
  for (int i = 0; i < 16; ++i) statements.emplace_back("SELECT $1", large);
  const auto answers = connection->Commit(statements, Soon());
  ASSERT_TRUE(answers.ok()) << answers.status();
  for (const Rows& rows : *answers) EXPECT_EQ(rows.String(0, 0).size(), large.size());
}

// A transaction whose rest does not come would else hold its locks for hours.
TEST_F(ConnectionTest, HasTheServerNoticeAClientThatIsGone) {
  const auto connection = Connect();
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, std::string>>{{"tcp_keepalives_idle", "10"},
                                                        {"tcp_keepalives_interval", "3"},
                                                        {"tcp_keepalives_count", "3"},
                                                        {"tcp_user_timeout", "5000"}}) {
    const auto shown = connection->Query(Statement("SHOW " + name), Soon());
    ASSERT_TRUE(shown.ok()) << shown.status();
    EXPECT_EQ(shown->String(0, 0), value) << name;
  }
}

// TCP_USER_TIMEOUT of this process's sockets that are connected to `address`.
std::vector<unsigned> UserTimeouts(const std::string& address) {
  std::vector<unsigned> timeouts;
  for (int fd = 0; fd < 1024; ++fd) {
    sockaddr_in peer{};
    socklen_t size = sizeof peer;
    if (getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &size) != 0) continue;
    if (peer.sin_family != AF_INET) continue;
    if (absl::StrCat("127.0.0.1:", ntohs(peer.sin_port)) != address) continue;
    unsigned timeout = 0;
    size = sizeof timeout;
    if (getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, &size) == 0) {
      timeouts.push_back(timeout);
    }
  }
  return timeouts;
}

// While it connects it waits less, so that another host can be tried.
TEST_F(ConnectionTest, WaitsLongerForAnAnswerOnceItIsConnected) {
  const auto connection = Connect();
  EXPECT_THAT(UserTimeouts(server_->address()), ElementsAre(5000u));
}

TEST_F(ConnectionTest, HeedsTheUrlsTimeout) {
  const auto url = Url::Parse(server_->Url("postgres") + "?tcp_user_timeout=7000");
  const auto connection = Connection::Open(*url, {}, Soon());
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_THAT(UserTimeouts(server_->address()), ElementsAre(7000u));
}

TEST_F(ConnectionTest, EndsAStatementAtItsDeadline) {
  const auto connection = Connect();
  const absl::Status late =
      connection->Query(Statement("SELECT pg_sleep(3600)"), In(milliseconds(300))).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_TRUE(testkit::Eventually([&] { return !Runs("pg_sleep"); }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(connection->Query(Statement("SELECT 1"), In({})).status()));
}

TEST_F(ConnectionTest, CanBeUsedAfterAnEndedStatement) {
  ASSERT_NO_FATAL_FAILURE(MakeTable());
  const auto connection = Connect();
  auto running = std::async(std::launch::async, [&] {
    return connection->Commit({Insert(1), Statement("SELECT pg_sleep(3600)")}, Soon()).status();
  });
  ASSERT_TRUE(testkit::Eventually([&] { return Sleeps("pg_sleep"); }));
  EXPECT_EQ(Count("(SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE state = 'active' AND "
                  "query = 'SELECT pg_sleep(3600)') AS one"),
            1);
  const absl::Status ended = running.get();
  EXPECT_TRUE(absl::IsDeadlineExceeded(ended)) << ended;
  EXPECT_THAT(std::string(ended.message()), HasSubstr("57014"));
  EXPECT_TRUE(connection->Commit({Insert(2)}, Soon()).ok());
  EXPECT_EQ(Count("t"), 1) << "nothing is stored of what was ended";
}

TEST_F(ConnectionTest, ALockNotFreeInTimeStoresNothing) {
  ASSERT_NO_FATAL_FAILURE(MakeTable());
  const auto holder = Connect();
  ASSERT_TRUE(holder->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  absl::Status refused;
  // A machine that is busy may hear the server's word too late.
  for (milliseconds patience(250); !absl::IsUnavailable(refused) && patience < milliseconds(10'000);
       patience *= 2) {
    refused = Connect()
                  ->Commit({Insert(1), Statement("SELECT pg_advisory_xact_lock(1)")}, In(patience))
                  .status();
    EXPECT_FALSE(refused.ok());
  }
  EXPECT_THAT(refused.ToString(), HasSubstr("55P03")) << "it says that a lock was not free";
  EXPECT_TRUE(testkit::Eventually([&] { return !Runs("pg_advisory_xact_lock"); }));
  EXPECT_EQ(Count("t"), 0);
}

TEST_F(ConnectionTest, KeepsTheDeadlineWhenTheServerIsFrozen) {
  const auto connection = Connect();
  server_->Pause();
  const absl::Status late =
      connection->Query(Statement("SELECT 1"), In(milliseconds(200))).status();
  const absl::Status nobody = Connection::Open(url(), {}, In(milliseconds(200))).status();
  server_->Resume();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_FALSE(connection->IsUsable());
  EXPECT_TRUE(absl::IsUnavailable(nobody)) << nobody;
}

TEST_F(ConnectionTest, CancelsWhatRunsWhenAStopIsRequested) {
  std::stop_source stop;
  const auto connection = Connect(stop.get_token());
  auto running = std::async(std::launch::async, [&] {
    return connection->Query(Statement("SELECT pg_sleep(3600)"), TimePoint::max()).status();
  });
  ASSERT_TRUE(testkit::Eventually([&] { return Sleeps("pg_sleep"); }));
  stop.request_stop();
  EXPECT_TRUE(absl::IsUnavailable(running.get()));
  EXPECT_TRUE(testkit::Eventually([&] { return !Runs("pg_sleep"); }));
  EXPECT_TRUE(absl::IsUnavailable(connection->Query(Statement("SELECT 1"), Soon()).status()));
}

TEST_F(ConnectionTest, AServerLostBeforeTheCommitStoresNothing) {
  ASSERT_NO_FATAL_FAILURE(MakeTable());
  const auto connection = Connect();
  server_->Stop();
  EXPECT_TRUE(absl::IsUnavailable(connection->Commit({Insert(1)}, Soon()).status()));
  const absl::Status started = server_->StartAgain();
  ASSERT_TRUE(started.ok()) << started;
  EXPECT_FALSE(connection->IsUsable());
  EXPECT_EQ(Count("t"), 0);
}

TEST_F(ConnectionTest, AConnectionBreakingLeavesACommitOpen) {
  ASSERT_NO_FATAL_FAILURE(MakeCommitsHang());
  const auto connection = Connect();
  auto running = std::async(std::launch::async,
                            [&] { return connection->Commit({Insert(1)}, Soon()).status(); });
  ASSERT_TRUE(testkit::Eventually([&] { return Sleeps("COMMIT"); }));
  server_->Kill();
  const absl::Status open = running.get();
  EXPECT_TRUE(absl::IsUnknown(open)) << open;
  ASSERT_TRUE(server_->StartAgain().ok());
  EXPECT_EQ(Count("t"), 0);
}

TEST_F(ConnectionTest, AServerGoingDownLeavesACommitOpen) {
  ASSERT_NO_FATAL_FAILURE(MakeCommitsHang());
  const auto connection = Connect();
  auto running = std::async(std::launch::async,
                            [&] { return connection->Commit({Insert(1)}, Soon()).status(); });
  ASSERT_TRUE(testkit::Eventually([&] { return Sleeps("COMMIT"); }));
  server_->Stop();
  const absl::Status open = running.get();
  EXPECT_TRUE(absl::IsUnknown(open)) << open;
  ASSERT_TRUE(server_->StartAgain().ok());
}

TEST_F(ConnectionTest, ALateAnswerLeavesACommitOpen) {
  ASSERT_NO_FATAL_FAILURE(MakeTable());
  const auto connection = Connect();
  ASSERT_TRUE(connection->Commit({Insert(1)}, Soon()).ok());
  server_->Pause();
  const absl::Status open = connection->Commit({Insert(2)}, In(milliseconds(300))).status();
  server_->Resume();
  EXPECT_TRUE(absl::IsUnknown(open)) << open;
}

// A server that waits for a standby that is not there.
class WaitingForAStandbyTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto server = PostgresServer::Start({.settings = {"synchronous_standby_names=absent"}});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    watcher_ = Connect("?options=-csynchronous_commit%3Dlocal");
    ASSERT_NE(watcher_, nullptr);
    ASSERT_TRUE(watcher_->RunScript("CREATE TABLE t (id bigint)", Soon()).ok());
  }

  std::unique_ptr<Connection> Connect(const std::string& options, std::stop_token stop = {}) {
    const auto url = Url::Parse(server_->Url("postgres") + options);
    auto connection = Connection::Open(*url, std::move(stop), Soon());
    EXPECT_TRUE(connection.ok()) << connection.status();
    return connection.ok() ? *std::move(connection) : nullptr;
  }

  std::int64_t Count(const std::string& from) {
    const auto rows = watcher_->Query(Statement("SELECT count(*) FROM " + from), Soon());
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? rows->Int64(0, 0) : -1;
  }

  bool AwaitWaiting() {
    return testkit::Eventually(
        [&] { return Count("pg_stat_activity WHERE wait_event = 'SyncRep'") == 1; });
  }

  std::unique_ptr<PostgresServer> server_;
  std::unique_ptr<Connection> watcher_;
};

// Cancelled, it would succeed.
TEST_F(WaitingForAStandbyTest, ACommitIsOpenAtItsDeadlineAndSeenByNobody) {
  const auto connection = Connect("");
  const absl::Status open =
      connection->Commit({Statement("INSERT INTO t VALUES (1)")}, In(milliseconds(2000))).status();
  EXPECT_TRUE(absl::IsUnknown(open)) << open;
  EXPECT_FALSE(connection->IsUsable());
  EXPECT_TRUE(AwaitWaiting()) << "it goes on";
  EXPECT_EQ(Count("t"), 0);
}

TEST_F(WaitingForAStandbyTest, ACommitIsOpenWhenAStopIsRequestedAndSeenByNobody) {
  std::stop_source stop;
  const auto connection = Connect("", stop.get_token());
  auto running = std::async(std::launch::async, [&] {
    return connection->Commit({Statement("INSERT INTO t VALUES (1)")}, Soon()).status();
  });
  EXPECT_TRUE(AwaitWaiting());
  stop.request_stop();
  const absl::Status open = running.get();
  EXPECT_TRUE(absl::IsUnknown(open)) << open;
  EXPECT_TRUE(AwaitWaiting()) << "it goes on";
  EXPECT_EQ(Count("t"), 0);
}

// The server takes it for done when it is cancelled.
TEST_F(WaitingForAStandbyTest, AStatementThatIsCancelledIsNotDone) {
  const auto connection = Connect("");
  const Statement insert("INSERT INTO t VALUES (1)");
  const absl::Status late = connection->Query(insert, In(milliseconds(2000))).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  // On another one: this one is broken if the cancellation was late.
  const absl::Status script =
      Connect("")->RunScript("INSERT INTO t VALUES (2)", In(milliseconds(2000)));
  EXPECT_TRUE(absl::IsDeadlineExceeded(script)) << script;
}

TEST_F(ConnectionTest, RefusesATextThatTheDatabaseCannotHold) {
  const auto connection = Connect();
  const absl::Status refused =
      connection->Query(Statement("SELECT $1", std::string("a\0b", 3)), Soon()).status();
  EXPECT_TRUE(absl::IsInvalidArgument(refused)) << refused;
}

TEST_F(ConnectionTest, RunsAScriptAllOrNothing) {
  const auto connection = Connect();
  EXPECT_TRUE(absl::IsInternal(
      connection->RunScript("CREATE TABLE a (id bigint); CREATE TABLE a (id bigint)", Soon())));
  EXPECT_TRUE(absl::IsInternal(
      connection->RunScript("BEGIN; CREATE TABLE a (id bigint); nonsense; COMMIT", Soon())));
  const absl::Status run =
      connection->RunScript("CREATE TABLE a (id bigint); CREATE TABLE b (id bigint)", Soon());
  EXPECT_TRUE(run.ok()) << run;
}

class ConnectionErrorTest : public ServerUnderTest {
 protected:
  absl::Status Refusal(const std::string& text) {
    const absl::StatusOr<Url> parsed = Url::Parse(text);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    const absl::Status refusal = Connection::Open(*parsed, {}, Soon()).status();
    EXPECT_THAT(refusal.ToString(), Not(HasSubstr(PostgresServer::Password())));
    EXPECT_THAT(refusal.ToString(), Not(HasSubstr("wr0ng")));
    return refusal;
  }
};

TEST_F(ConnectionErrorTest, DistinguishesWrongPasswordMissingDatabaseAndAbsentServer) {
  const std::string there = server_->address();
  EXPECT_TRUE(absl::IsPermissionDenied(Refusal("postgresql://tester:wr0ng@" + there + "/test1")));
  EXPECT_TRUE(absl::IsNotFound(Refusal(server_->Url("nowhere"))));
  server_->Stop();
  EXPECT_TRUE(absl::IsUnavailable(Refusal(server_->Url("postgres"))));
  ASSERT_TRUE(server_->StartAgain().ok());
  EXPECT_TRUE(absl::IsUnavailable(Refusal(server_->Url("postgres") + "?sslmode=require")))
      << "what the URL says about TLS is heeded";
}

TEST_F(ConnectionErrorTest, RefusesADatabaseThatIsNotUtf8) {
  ASSERT_TRUE(Connect()
                  ->RunScript("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0", Soon())
                  .ok());
  const absl::Status refused = Refusal(server_->Url("latin"));
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
}

TEST(SqlState, SaysWhatACallerCanDo) {
  EXPECT_EQ(CodeForSqlState("53100"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeForSqlState("40P01"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeForSqlState("25006"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeForSqlState("57P01"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeForSqlState("55000"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeForSqlState("25P03"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeForSqlState("25P04"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeForSqlState("72000"), absl::StatusCode::kUnavailable);
  EXPECT_EQ(CodeForSqlState("57014"), absl::StatusCode::kDeadlineExceeded);
  EXPECT_EQ(CodeForSqlState("XX001"), absl::StatusCode::kDataLoss);
  EXPECT_EQ(CodeForSqlState("42703"), absl::StatusCode::kInternal);
  EXPECT_EQ(CodeForSqlState("25P02"), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace postgres
