// The real orders server, stopped while something that it depends on is dead, frozen,
// locked or full: the shutdown ends inside its grace, says what could not be done, and
// nothing that was acknowledged is lost. docs/operations.md has them in a table.
#include <fcntl.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "client/error_details.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/process/servers_under_test.h"
#include "tests/common/child_process.h"
#include "tests/common/event_log.h"
#include "tests/common/order_rules.h"
#include "tests/common/own_namespace.h"
#include "tests/common/runfiles.h"

namespace orders {
namespace {

using std::chrono::steady_clock;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::SizeIs;
using testkit::Ending;

// As in production, but for the lame duck that nobody needs.
constexpr std::chrono::seconds kGrace{30};
const std::vector<std::string> kBudget = {"--termination_grace=30s", "--shutdown_lame_duck=0"};

std::string no_mounts;  // Why there are none to be had.

// Another program that has the database open.
class Stranger {
 public:
  explicit Stranger(const std::string& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &database_), SQLITE_OK);
    sqlite3_busy_timeout(database_, 10'000);
  }
  ~Stranger() { sqlite3_close(database_); }
  Stranger(const Stranger&) = delete;
  Stranger& operator=(const Stranger&) = delete;

  // The first value of the last row; "" when there is none.
  std::string Run(const std::string& sql) {
    std::string value;
    const auto keep = [](void* kept, int, char** values, char**) {
      *static_cast<std::string*>(kept) = values[0] == nullptr ? "" : values[0];
      return 0;
    };
    EXPECT_EQ(sqlite3_exec(database_, sql.c_str(), keep, &value, nullptr), SQLITE_OK)
        << sql << ": " << sqlite3_errmsg(database_);
    return value;
  }

 private:
  sqlite3* database_ = nullptr;
};

class OrdersFaultsTest : public ServersUnderTest {
 protected:
  // Places orders, and waits until nothing is left to be done for them.
  void PlaceAndConfirm(int orders) {
    for (int i = 0; i < orders; ++i) {
      const grpc::Status placed = Place("early-" + std::to_string(i));
      ASSERT_TRUE(placed.ok()) << placed.error_message();
    }
    const auto end = steady_clock::now() + kLimit;
    for (;;) {
      int confirmed = 0;
      for (const v1::Order& order : StoredOrders()) {
        confirmed += order.state() == v1::ORDER_STATE_CONFIRMED;
      }
      if (confirmed == orders) return;
      ASSERT_LT(steady_clock::now(), end);
    }
  }

  static std::string ContentOf(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  Ending StopWithinTheGrace() {
    const auto signalled = steady_clock::now();
    const Ending ending = Stop();
    EXPECT_LT(steady_clock::now() - signalled, kGrace);
    return ending;
  }

  // "Closed database"; with a warning, what was told besides.
  std::vector<std::string> Told(bool ok) {
    std::vector<std::string> told;
    for (const testkit::LoggedEvent& event : testkit::EventsIn(orders().Output())) {
      if (event.ok != ok) continue;
      told.push_back(event.name + (event.subject.empty() ? "" : " " + event.subject) +
                     (ok || event.detail.empty() ? "" : ": " + event.detail));
    }
    return told;
  }

  // All of these calls were refused because of the inventory, and may be repeated.
  void ExpectRefused(const std::vector<std::unique_ptr<OrderCall>>& calls) {
    for (const std::unique_ptr<OrderCall>& call : calls) {
      const absl::Status status = client::FromGrpc(call->Status());
      EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
      EXPECT_EQ(client::ErrorReason(status), "INVENTORY_UNAVAILABLE") << status;
    }
  }

  // Whoever was refused asks again at the next server, and is served once.
  void ExpectServedByTheNext() {
    ASSERT_NO_FATAL_FAILURE(StartInventory());
    ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
    EXPECT_THAT(StoredOrders(), IsEmpty());
    for (const std::unique_ptr<OrderCall>& call : EightAcceptedOrders()) {
      const grpc::Status status = call->Status();
      EXPECT_TRUE(status.ok()) << status.error_message();
    }
    EXPECT_THAT(StoredOrders(), SizeIs(8));
    EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
  }

  // The next server has replayed what could not be saved, and saves it.
  void ExpectNothingLost(int orders_placed) {
    ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
    // Placed and confirmed.
    EXPECT_TRUE(
        orders().AwaitOutput("replayed " + std::to_string(2 * orders_placed) + " events", kLimit))
        << orders().Output();
    std::vector<std::string> ids;
    for (int i = 0; i < orders_placed; ++i) ids.push_back("early-" + std::to_string(i));
    EXPECT_EQ(StoredRequestIds(), ids);
    EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
    EXPECT_EQ(Stranger(OrdersDatabase()).Run("SELECT quantity FROM sales_totals"),
              std::to_string(orders_placed));
  }
};

TEST_F(OrdersFaultsTest, ABackendThatDiesDuringTheShutdown) {
  // Nothing is reserved before the test is over.
  ASSERT_NO_FATAL_FAILURE(StartInventory({"--latency=1h"}));
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address(), kBudget));
  const auto calls = EightAcceptedOrders();
  const auto signalled = steady_clock::now();
  orders().Signal(SIGTERM);
  inventory_->process().Signal(SIGKILL);
  EXPECT_EQ(AwaitEnd(), Ending::Exited(0)) << orders().Output();
  EXPECT_LT(steady_clock::now() - signalled, kGrace);
  ExpectRefused(calls);
  EXPECT_THAT(Told(false), IsEmpty());
  ExpectServedByTheNext();
}

TEST_F(OrdersFaultsTest, ABackendThatIsFrozen) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address(), kBudget));
  inventory_->process().Signal(SIGSTOP);
  const auto calls = EightAcceptedOrders();
  EXPECT_EQ(StopWithinTheGrace(), Ending::Exited(0)) << orders().Output();
  ExpectRefused(calls);
  EXPECT_THAT(Told(false), IsEmpty());
  inventory_->process().Signal(SIGKILL);
  ASSERT_EQ(inventory_->process().Wait(kLimit), Ending::Killed(SIGKILL));
  ExpectServedByTheNext();
}

TEST_F(OrdersFaultsTest, ABackendFrozenForTheWholeShutdown) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  // Less than the 5 s that the inventory is waited for otherwise.
  ASSERT_NO_FATAL_FAILURE(StartOrders(
      inventory_->address(),
      With(kBudget, {"--shutdown_drain_connections=100ms", "--shutdown_drain_calls=2s"})));
  inventory_->process().Signal(SIGSTOP);
  const auto calls = EightAcceptedOrders();
  EXPECT_EQ(StopWithinTheGrace(), Ending::Exited(0)) << orders().Output();
  ExpectRefused(calls);
  EXPECT_THAT(Told(false), IsEmpty());
  EXPECT_THAT(Told(true), IsSupersetOf({"ConnectionsRemain", "CallsFinished"}));
  inventory_->process().Signal(SIGKILL);
  ASSERT_EQ(inventory_->process().Wait(kLimit), Ending::Killed(SIGKILL));
  ExpectServedByTheNext();
}

TEST_F(OrdersFaultsTest, ADatabaseThatIsLocked) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address(), kBudget));
  ASSERT_NO_FATAL_FAILURE(PlaceAndConfirm(3));
  {
    Stranger stranger(OrdersDatabase());
    stranger.Run("BEGIN EXCLUSIVE");
    EXPECT_EQ(StopWithinTheGrace(), Ending::Exited(4)) << orders().Output();
    EXPECT_THAT(Told(false),
                ElementsAre(HasSubstr("SaveFailed sales totals: DEADLINE_EXCEEDED: another process "
                                      "has locked the database")));
    EXPECT_THAT(Told(true),
                IsSupersetOf({"Closed store pool", "Closed inventory channel", "Closed database"}));
    stranger.Run("ROLLBACK");
  }
  ExpectNothingLost(3);
}

TEST_F(OrdersFaultsTest, ADatabaseThatIsLockedDelaysNoReader) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(PlaceAndConfirm(1));
  Stranger stranger(OrdersDatabase());
  stranger.Run("BEGIN EXCLUSIVE");
  std::vector<std::unique_ptr<OrderCall>> calls;
  for (int i = 0; i < 8; ++i) {
    calls.push_back(std::make_unique<OrderCall>(*stub_, "slow-" + std::to_string(i)));
  }
  // All of them hold their stock, and wait for the database from now on.
  Stranger stock(directory_.File("inventory.sqlite3"));
  const auto end = steady_clock::now() + kLimit;
  while (stock.Run("SELECT count(*) FROM reservations") != "9") {
    ASSERT_LT(steady_clock::now(), end);
  }
  for (int i = 0; i < 50; ++i) EXPECT_THAT(StoredOrders(), SizeIs(1));
  stranger.Run("ROLLBACK");
  for (const auto& call : calls) EXPECT_TRUE(call->Status().ok());
}

TEST_F(OrdersFaultsTest, AnOldBacklogPushesBackFromTheStart) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
  ASSERT_NO_FATAL_FAILURE(PlaceAndConfirm(1));
  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
  {
    // Of 1970, and another replica works on it.
    Stranger stranger(OrdersDatabase());
    stranger.Run(
        "INSERT INTO outbox (order_id, reservation_id, created_at, due_at) "
        "SELECT order_id, reservation_id, 1, 1000 * unixepoch() + 60000 FROM orders");
  }
  // Nothing listens there: the relay looks for it before it begins.
  ASSERT_NO_FATAL_FAILURE(StartOrders("127.0.0.1:1"));
  const absl::Status refused = client::FromGrpc(Place("new"));
  EXPECT_EQ(client::ErrorReason(refused), "OVERLOADED") << refused;
}

TEST_F(OrdersFaultsTest, ADatabaseFileThatIsMovedAway) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address(), kBudget));
  ASSERT_NO_FATAL_FAILURE(PlaceAndConfirm(3));
  const std::string moved = OrdersDatabase() + ".moved";
  ASSERT_EQ(rename(OrdersDatabase().c_str(), moved.c_str()), 0);
  const absl::Status refused = client::FromGrpc(Place("too late"));
  EXPECT_EQ(client::ErrorReason(refused), "STORE_UNAVAILABLE") << refused;
  EXPECT_EQ(StopWithinTheGrace(), Ending::Exited(4)) << orders().Output();
  EXPECT_THAT(Told(false),
              ElementsAre(HasSubstr("SaveFailed sales totals: FAILED_PRECONDITION: the database "
                                    "file"),
                          HasSubstr("CloseFailed database: FAILED_PRECONDITION: the database "
                                    "file")));
  // As the message says.
  ASSERT_EQ(rename(moved.c_str(), OrdersDatabase().c_str()), 0);
  ASSERT_EQ(rename((OrdersDatabase() + "-wal.aside").c_str(), (OrdersDatabase() + "-wal").c_str()),
            0);
  ExpectNothingLost(3);
}

// Its database lies on a small disk of its own.
class OrdersFullDiskTest : public OrdersFaultsTest {
 protected:
  void SetUp() override {
    if (!no_mounts.empty()) {
      GTEST_SKIP() << no_mounts
                   << ". It would have shown what a shutdown does when the disk is full.";
    }
    ASSERT_EQ(mkdir(disk_.c_str(), 0700), 0);
    ASSERT_EQ(mount("tmpfs", disk_.c_str(), "tmpfs", 0, "size=2m"), 0) << std::strerror(errno);
  }
  void TearDown() override {
    if (IsSkipped()) return;
    orders_.reset();
    EXPECT_EQ(umount2(disk_.c_str(), MNT_DETACH), 0) << std::strerror(errno);
  }

  std::string OrdersDatabase() const override { return disk_ + "/orders.sqlite3"; }

  void FillTheDisk() {
    const int file = open(Filler().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    const std::vector<char> page(4096, 'x');
    int pages = 0;
    while (write(file, page.data(), page.size()) > 0) ++pages;
    EXPECT_EQ(errno, ENOSPC);
    EXPECT_GT(pages, 0);
    close(file);
  }
  void FreeTheDisk() { EXPECT_EQ(unlink(Filler().c_str()), 0); }

 private:
  std::string Filler() const { return disk_ + "/filler"; }

 protected:
  const std::string disk_ = directory_.File("disk");
};

TEST_F(OrdersFullDiskTest, ADiskThatIsFull) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address(), kBudget));
  ASSERT_NO_FATAL_FAILURE(PlaceAndConfirm(3));
  FillTheDisk();
  const absl::Status refused = client::FromGrpc(Place("too much"));
  EXPECT_EQ(client::ErrorReason(refused), "STORE_UNAVAILABLE") << refused;
  EXPECT_EQ(StopWithinTheGrace(), Ending::Exited(4)) << orders().Output();
  EXPECT_THAT(Told(false), ElementsAre(HasSubstr("SaveFailed sales totals: UNAVAILABLE: database: "
                                                 "database or disk is full"),
                                       HasSubstr("CloseFailed database: UNAVAILABLE: database: "
                                                 "database or disk is full")));
  EXPECT_THAT(Told(true), IsSupersetOf({"Closed store pool", "Closed inventory channel"}));
  FreeTheDisk();
  ExpectNothingLost(3);
}

TEST_F(OrdersFullDiskTest, AReportThatDoesNotFitReplacesNothing) {
  const std::string report = disk_ + "/report.json";
  std::ofstream(report) << "old";
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  // Nothing but the report needs room at the end.
  auto server = testkit::ServerProcess::Start(
      {.binary = "service/orders_server",
       .flags = With({"--database=" + directory_.File("elsewhere.sqlite3"),
                      "--inventory=" + inventory_->address(), "--shutdown_report=" + report},
                     kBudget)});
  ASSERT_TRUE(server.ok()) << server.status();
  orders_ = *std::move(server);
  FillTheDisk();
  EXPECT_EQ(StopWithinTheGrace(), Ending::Exited(0)) << orders().Output();
  EXPECT_THAT(orders().Output(), HasSubstr(" W orders: shutdown report: cannot write " + report +
                                           ": No space left on device\n"));
  EXPECT_THAT(orders().Output(), HasSubstr(" I orders: shutdown report: {"));
  EXPECT_EQ(ContentOf(report), "old");
}

TEST_F(OrdersFaultsTest, AMountPointReportIsWrittenInPlace) {
  if (!no_mounts.empty()) {
    GTEST_SKIP() << no_mounts << ". It would have shown that Kubernetes gets the report.";
  }
  // As Kubernetes mounts /dev/termination-log.
  const std::string on_the_host = directory_.File("message");
  const std::string report = directory_.File("termination-log");
  std::ofstream(on_the_host) << "what was there before, longer than nothing";
  std::ofstream(report) << "";
  ASSERT_EQ(mount(on_the_host.c_str(), report.c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  ASSERT_NO_FATAL_FAILURE(
      StartOrders(inventory_->address(), With(kBudget, {"--shutdown_report=" + report})));
  EXPECT_EQ(StopWithinTheGrace(), Ending::Exited(0)) << orders().Output();
  EXPECT_THAT(orders().Output(), EndsWith(" I orders: shutdown report: " + ContentOf(on_the_host)));
  EXPECT_EQ(umount2(report.c_str(), MNT_DETACH), 0);
}

TEST_F(OrdersFaultsTest, ImpossibleFlagsAreNamedBeforeAnythingOpens) {
  testkit::ChildProcess server({testkit::RunfileOrDie("service/orders_server"),
                                "--inventory=", "--database=/nowhere/at.all"});
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
  EXPECT_EQ(server.Output(), "usage: --inventory must be HOST:PORT, is empty\n");
}

TEST_F(OrdersFaultsTest, ATakenPortRollsTheStartBack) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  testkit::ChildProcess second({testkit::RunfileOrDie("service/orders_server"),
                                "--address=" + inventory_->address(),
                                "--inventory=" + inventory_->address(),
                                "--database=" + OrdersDatabase(), "--admin_http_address="});
  const auto started = steady_clock::now();
  EXPECT_EQ(testkit::AwaitShutdown(second, kLimit, kUses), Ending::Exited(2)) << second.Output();
  EXPECT_LT(steady_clock::now() - started, kGrace);
  EXPECT_THAT(testkit::EventNamesIn(second.Output()),
              ElementsAre("CouldNotStart", "WorkersStopped", "Closed", "Closed", "Closed"));
  EXPECT_THAT(second.Output(), HasSubstr("could not start: "));
  // Nothing of it is left behind.
  EXPECT_NE(access((OrdersDatabase() + "-wal").c_str(), F_OK), 0);
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
  ASSERT_NO_FATAL_FAILURE(PlaceAndConfirm(1));
}

}  // namespace
}  // namespace orders

int main(int argc, char** argv) {
  orders::no_mounts = testkit::GetOwnMounts();
  testing::InitGoogleMock(&argc, argv);
  return RUN_ALL_TESTS();
}
