#include "service/postgres/pool.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <future>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/postgres/testing/server_under_test.h"
#include "tests/common/eventually.h"
#include "tests/common/slow_link.h"

namespace postgres {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::Not;

class PoolTest : public ServerUnderTest {
 protected:
  std::unique_ptr<Pool> Open(std::size_t connections = 4) {
    auto pool = Pool::Open(url(), {.connections = connections}, Soon());
    EXPECT_TRUE(pool.ok()) << pool.status();
    return pool.ok() ? *std::move(pool) : nullptr;
  }

  // How many clients this test's database has, without the one that asks. It stays: the server would
  // count it for a moment more.
  std::int64_t Sessions(const std::string& condition = "true") {
    if (asking_ == nullptr) asking_ = Connect();
    const auto rows = asking_->Query(
        Statement(absl::StrCat("SELECT count(*) FROM pg_stat_activity WHERE datname = "
                               "current_database() AND pid <> pg_backend_pid() AND "
                               "backend_type = 'client backend' AND ",
                               condition)),
        Soon());
    EXPECT_TRUE(rows.ok()) << rows.status();
    return rows.ok() ? rows->Int64(0, 0) : -1;
  }

  // In another database.
  std::unique_ptr<Connection> Admin() {
    auto admin = Connection::Open(*Url::Parse(server_->Url("postgres")), {}, Soon());
    EXPECT_TRUE(admin.ok()) << admin.status();
    return admin.ok() ? *std::move(admin) : nullptr;
  }

  static void EndSessions(Connection& admin, const std::string& condition) {
    const auto ended = admin.Query(
        Statement("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE " +
                  condition),
        Soon());
    EXPECT_TRUE(ended.ok()) << ended.status();
  }

  bool Sleeping(std::int64_t statements) {
    return testkit::Eventually(
        [&] { return Sessions("state = 'active' AND query LIKE '%pg_sleep%'") == statements; });
  }

  static std::future<absl::Status> Sleep(Pool& pool) {
    return std::async(std::launch::async, [&pool] {
      return pool.Query(Statement("SELECT pg_sleep(3600)"), TimePoint::max()).status();
    });
  }

 private:
  std::unique_ptr<Connection> asking_;
};

bool IsNotMadeInTime(const absl::Status& status) {
  return absl::IsUnavailable(status) &&
         absl::StrContains(status.message(), "no connection was made in time");
}

// A host that answers nothing, not even a SYN: the queue of its listener is full.
class SilentHost {
 public:
  SilentHost() {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    socklen_t size = sizeof address;
    EXPECT_EQ(bind(listener_, any, size), 0);
    EXPECT_EQ(listen(listener_, 0), 0);
    EXPECT_EQ(getsockname(listener_, any, &size), 0);
    port_ = ntohs(address.sin_port);
    // A backlog of 0 has room for one.
    EXPECT_EQ(connect(only_, any, size), 0);
  }
  ~SilentHost() {
    close(only_);
    close(listener_);
  }
  SilentHost(const SilentHost&) = delete;
  SilentHost& operator=(const SilentHost&) = delete;

  std::string address() const { return absl::StrCat("127.0.0.1:", port_); }

 private:
  const int listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int only_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int port_ = 0;
};

TEST_F(PoolTest, LeavesASilentHostForTheNext) {
  const SilentHost silent;
  const auto url =
      Url::Parse(server_->Url("postgres", absl::StrCat(silent.address(), ",", server_->address())) +
                 "?target_session_attrs=read-write");
  ASSERT_TRUE(url.ok()) << url.status();
  const auto pool = Pool::Open(*url, {}, Soon());
  EXPECT_TRUE(pool.ok()) << pool.status();
}

TEST_F(PoolTest, SerialCallsShareOneConnection) {
  const auto pool = Open();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(pool->Query(Statement("SELECT 1"), Soon()).ok());
  EXPECT_EQ(Sessions(), 1);
}

TEST_F(PoolTest, HasNoMoreConnectionsThanItMay) {
  const auto pool = Open(3);
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 3; ++i) calls.push_back(Sleep(*pool));
  ASSERT_TRUE(Sleeping(3));
  const absl::Status late =
      pool->Query(Statement("SELECT 1"), steady_clock::now() + milliseconds(50)).status();
  EXPECT_TRUE(absl::IsDeadlineExceeded(late)) << late;
  EXPECT_EQ(Sessions(), 3);
  pool->Close(steady_clock::now() + milliseconds(500)).IgnoreError();
}

TEST_F(PoolTest, LendsAConnectionToWhoeverWaitsForIt) {
  const auto pool = Open(2);
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 12; ++i) {
    calls.push_back(std::async(std::launch::async, [&] {
      return pool->Query(Statement("SELECT pg_sleep(0.01)"), Soon()).status();
    }));
  }
  for (auto& call : calls) EXPECT_TRUE(call.get().ok());
  EXPECT_LE(Sessions(), 2);
}

TEST_F(PoolTest, FailsFastOnlyWhileTheServerIsAway) {
  const auto pool = Open();
  server_->Kill();
  int calls = 0;
  absl::Status failed;
  // Without a deadline: a call that waited for the server would never return.
  for (; calls < 100; ++calls) {
    failed = pool->Query(Statement("SELECT 1"), TimePoint::max()).status();
    ASSERT_TRUE(absl::IsUnavailable(failed)) << failed;
  }
  EXPECT_THAT(failed.ToString(), Not(HasSubstr(PostgresServer::Password())));
  ASSERT_TRUE(server_->StartAgain().ok());
  EXPECT_TRUE(testkit::Eventually([&] { return pool->Query(Statement("SELECT 1"), Soon()).ok(); }));
}

// This process's open files and sockets.
std::ptrdiff_t Descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

TEST_F(PoolTest, FailsFastWhileAnAttemptHangs) {
  const auto pool = Pool::Open(url(), {.connect_timeout = std::chrono::hours(1)}, Soon());
  ASSERT_TRUE(pool.ok()) << pool.status();
  const auto ask = [&pool](TimePoint deadline) {
    return (*pool)->Query(Statement("SELECT 1"), deadline).status();
  };
  server_->Kill();
  // The first call may still find the lost connection.
  ASSERT_TRUE(
      testkit::Eventually([&] { return absl::StrContains(ask(Soon()).message(), "refused"); }));
  ASSERT_TRUE(server_->StartAgain().ok());
  server_->Pause();
  // No attempt is under way; the next one opens a socket.
  const std::ptrdiff_t before = Descriptors();
  bool waited = false;
  const bool hangs = testkit::Eventually([&] {
    // Whoever begins the attempt waits for it, and for this long.
    if (IsNotMadeInTime(ask(steady_clock::now() + milliseconds(100)))) waited = true;
    return Descriptors() > before;
  });
  int at_once = 0;
  absl::Status failed;
  for (int calls = 0; hangs && calls < 100 && at_once == calls; ++calls) {
    failed = ask(Soon());
    if (absl::IsUnavailable(failed) && !IsNotMadeInTime(failed)) ++at_once;
  }
  server_->Resume();
  EXPECT_TRUE(hangs);
  EXPECT_TRUE(waited);
  EXPECT_EQ(at_once, 100) << failed;
  EXPECT_TRUE(testkit::Eventually([&] { return ask(Soon()).ok(); }));
}

TEST_F(PoolTest, ReplacesAnIdleConnectionThatWasEnded) {
  const auto pool = Open();
  ASSERT_TRUE(
      Connect()
          ->Query(Statement("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity "
                            "WHERE datname = current_database() AND pid <> pg_backend_pid()"),
                  Soon())
          .ok());
  const auto answered = pool->Query(Statement("SELECT 1"), Soon());
  EXPECT_TRUE(answered.ok()) << answered.status();
}

// To those who read and to those who write.
void ExpectUnavailable(Pool& pool, const std::string& sqlstate) {
  const Statement one("SELECT 1");
  for (const absl::Status& status :
       {pool.Query(one, Soon()).status(), pool.Commit({one}, Soon()).status()}) {
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(sqlstate));
  }
}

TEST_F(PoolTest, IsUnavailableWhileItsDatabaseHasAnotherName) {
  const auto pool = Open();
  const auto name = pool->Query(Statement("SELECT current_database()"), Soon());
  ASSERT_TRUE(name.ok()) << name.status();
  const std::string database = name->String(0, 0);
  const auto rename = [admin = Admin()](const std::string& from, const std::string& to) {
    EndSessions(*admin, "datname = '" + from + "'");
    const absl::Status renamed =
        admin->RunScript(absl::StrCat("ALTER DATABASE ", from, " RENAME TO ", to), Soon());
    EXPECT_TRUE(renamed.ok()) << renamed;
  };
  rename(database, database + "_away");
  ExpectUnavailable(*pool, "3D000");
  rename(database + "_away", database);
  EXPECT_TRUE(testkit::Eventually([&] { return pool->Query(Statement("SELECT 1"), Soon()).ok(); }));
}

TEST_F(PoolTest, IsUnavailableOnceItsPasswordIsReplaced) {
  const auto admin = Admin();
  ASSERT_TRUE(admin->RunScript("CREATE ROLE clerk LOGIN PASSWORD 'first'", Soon()).ok());
  const auto clerk = Url::Parse("postgresql://clerk:first@" + server_->address() + "/postgres");
  const auto pool = Pool::Open(*clerk, {}, Soon());
  ASSERT_TRUE(pool.ok()) << pool.status();
  ASSERT_TRUE(admin->RunScript("ALTER ROLE clerk PASSWORD 'second'", Soon()).ok());
  EndSessions(*admin, "usename = 'clerk'");
  ExpectUnavailable(**pool, "28P01");
  EXPECT_TRUE(admin->RunScript("DROP ROLE clerk", Soon()).ok());
}

TEST_F(PoolTest, CancelsWhatStillRunsWhenItIsClosed) {
  const auto pool = Open();
  auto one = Sleep(*pool);
  auto other = Sleep(*pool);
  ASSERT_TRUE(Sleeping(2));
  const absl::Status closed = pool->Close(steady_clock::now() + std::chrono::seconds(5));
  EXPECT_TRUE(absl::IsDeadlineExceeded(closed)) << closed;
  EXPECT_THAT(std::string(closed.message()), HasSubstr("2 statements"));
  EXPECT_TRUE(absl::IsUnavailable(one.get()));
  EXPECT_TRUE(absl::IsUnavailable(other.get()));
  EXPECT_TRUE(Sleeping(0));
}

TEST_F(PoolTest, ClosesInTimeWhenTheServerIsFrozen) {
  const auto pool = Open();
  auto one = Sleep(*pool);
  ASSERT_TRUE(Sleeping(1));
  server_->Pause();
  const absl::Status closed = pool->Close(steady_clock::now() + milliseconds(300));
  EXPECT_TRUE(absl::IsDeadlineExceeded(closed)) << closed;
  EXPECT_TRUE(absl::IsUnavailable(one.get()));
  server_->Resume();
}

TEST_F(PoolTest, CloseAwaitsRunningWorkAndRefusesNew) {
  const auto pool = Open();
  const auto holder = Connect();
  ASSERT_TRUE(holder->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  auto running = std::async(std::launch::async, [&] {
    return pool->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).status();
  });
  ASSERT_TRUE(testkit::Eventually([&] { return Sessions("wait_event_type = 'Lock'") == 1; }));
  auto closing = std::async(std::launch::async, [&] { return pool->Close(Soon()); });
  ASSERT_TRUE(testkit::Eventually([&] {
    return absl::IsFailedPrecondition(pool->Query(Statement("SELECT 1"), Soon()).status());
  }));
  ASSERT_TRUE(holder->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(running.get().ok());
  EXPECT_TRUE(closing.get().ok());
  EXPECT_TRUE(pool->Close(Soon()).ok());
  // The holder's is left.
  EXPECT_TRUE(testkit::Eventually([&] { return Sessions() == 1; }));
}

// This process's.
std::ptrdiff_t Threads() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/task"), {});
}

// One that was joined may be counted for a moment more.
bool AreThreads(std::ptrdiff_t count) {
  return testkit::Eventually([count] { return Threads() == count; });
}

// One that connects does not end by itself.
constexpr Pool::Options kPatient{.connections = 2, .connect_timeout = std::chrono::hours(1)};

// Libraries that the process unloads at its exit crash a thread that still uses them.
TEST_F(PoolTest, LeavesNoThreadBehindThatConnects) {
  testkit::SlowLink link(server_->address(), {});
  const auto url = Url::Parse(server_->Url("postgres", link.address()));
  const std::ptrdiff_t before = Threads();
  const auto pool = Pool::Open(*url, kPatient, Soon());
  ASSERT_TRUE(pool.ok()) << pool.status();
  link.SetRate(0);
  link.Cut();
  ASSERT_TRUE(testkit::Eventually([&] {
    const TimePoint soon = steady_clock::now() + milliseconds(100);
    return IsNotMadeInTime((*pool)->Query(Statement("SELECT 1"), soon).status());
  }));
  EXPECT_GT(Threads(), before);
  EXPECT_TRUE((*pool)->Close(Soon()).ok());
  EXPECT_TRUE(AreThreads(before));
}

TEST_F(PoolTest, AFailedOpenLeavesNoThreadBehind) {
  testkit::SlowLink link(server_->address(), {.bytes_per_second = 0});
  const auto url = Url::Parse(server_->Url("postgres", link.address()));
  const std::ptrdiff_t before = Threads();
  const absl::Status failed =
      Pool::Open(*url, kPatient, steady_clock::now() + milliseconds(100)).status();
  EXPECT_TRUE(IsNotMadeInTime(failed)) << failed;
  EXPECT_THAT(std::string(failed.message()), HasSubstr("check that the server runs there"));
  EXPECT_TRUE(AreThreads(before));
}

TEST_F(PoolTest, AFailedOpenSaysWhatToDo) {
  const auto wrong = Url::Parse("postgresql://tester:wr0ng@" + server_->address() + "/postgres");
  const absl::Status denied = Pool::Open(*wrong, {}, Soon()).status();
  EXPECT_TRUE(absl::IsPermissionDenied(denied)) << denied;
  EXPECT_THAT(std::string(denied.message()), HasSubstr("PGPASSWORD"));
  EXPECT_THAT(std::string(denied.message()), Not(HasSubstr("wr0ng")));
}

}  // namespace
}  // namespace postgres
