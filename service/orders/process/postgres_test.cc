// The real orders server over a real PostgreSQL server: it serves, survives that server's restart,
// and ends in time whatever becomes of it.
#include <signal.h>

#include <chrono>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "client/error_details.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/admin/testing/http_caller.h"
#include "service/orders/process/servers_under_test.h"
#include "service/postgres/testing/postgres_server.h"
#include "tests/common/child_process.h"
#include "tests/common/eventually.h"
#include "tests/common/runfiles.h"

namespace orders {
namespace {

using std::chrono::steady_clock;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::UnorderedElementsAreArray;
using testkit::Ending;

constexpr std::chrono::seconds kGrace{30};
const std::vector<std::string> kBudget = {"--termination_grace=30s", "--shutdown_lame_duck=0"};

class OrdersOnPostgresTest : public ServersUnderTest {
 protected:
  static void SetUpTestSuite() {
    auto started = postgres::PostgresServer::Start();
    ASSERT_TRUE(started.ok()) << started.status();
    postgres_ = *std::move(started);
  }
  static void TearDownTestSuite() { postgres_.reset(); }

  void SetUp() override {
    ASSERT_NE(postgres_, nullptr);
    const auto database = postgres_->CreateDatabase();
    ASSERT_TRUE(database.ok()) << database.status();
    database_ = *database;
  }
  void TearDown() override {
    if (orders_ == nullptr) return;
    EXPECT_THAT(orders().Output(), Not(HasSubstr(postgres::PostgresServer::Password())));
  }

  std::string OrdersDatabase() const override { return database_; }

  // Places orders until the server has answered so many.
  void PlaceAcknowledged(const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) {
      const std::string id = prefix + std::to_string(i);
      ASSERT_TRUE(testkit::Eventually([&] { return Place(id).ok(); })) << orders().Output();
      acknowledged_.push_back(id);
    }
  }

  Ending StopWithinTheGrace() {
    const auto signalled = steady_clock::now();
    const Ending ending = Stop();
    EXPECT_LT(steady_clock::now() - signalled, kGrace);
    return ending;
  }

  void ExpectNothingLost() {
    ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
    EXPECT_THAT(StoredRequestIds(), UnorderedElementsAreArray(acknowledged_));
    EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
  }

  static inline std::unique_ptr<postgres::PostgresServer> postgres_;
  std::string database_;
  std::vector<std::string> acknowledged_;
};

TEST_F(OrdersOnPostgresTest, AnswersEveryAcceptedCallBeforeItEnds) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(PlaceAcknowledged("early-", 3));
  const auto calls = EightAcceptedOrders();
  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
  for (const auto& call : calls) EXPECT_TRUE(call->Status().ok()) << call->Status().error_message();
  for (int i = 0; i < 8; ++i) acknowledged_.push_back("slow-" + std::to_string(i));
  ExpectNothingLost();
}

TEST_F(OrdersOnPostgresTest, ServesAgainAfterADatabaseRestart) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_NO_FATAL_FAILURE(PlaceAcknowledged("early-", 3));
  postgres_->Kill();
  const absl::Status refused = client::FromGrpc(Place("during"));
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable) << refused;
  EXPECT_EQ(client::ErrorReason(refused), "STORE_UNAVAILABLE") << refused;
  EXPECT_THAT(refused.ToString(), Not(HasSubstr(postgres::PostgresServer::Password())));
  ASSERT_TRUE(postgres_->StartAgain().ok());
  ASSERT_NO_FATAL_FAILURE(PlaceAcknowledged("late-", 3));
  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
  ExpectNothingLost();
}

TEST_F(OrdersOnPostgresTest, EndsInTimeThoughTheDatabaseGoesAway) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address(), kBudget));
  ASSERT_NO_FATAL_FAILURE(PlaceAcknowledged("early-", 3));
  postgres_->Kill();
  EXPECT_EQ(StopWithinTheGrace(), Ending::Exited(4)) << orders().Output();
  EXPECT_THAT(orders().Output(), HasSubstr("SaveFailed"));
  ASSERT_TRUE(postgres_->StartAgain().ok());
  ExpectNothingLost();
}

TEST_F(OrdersOnPostgresTest, EndsInTimeWhenTheDatabaseIsFrozen) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address(), kBudget));
  ASSERT_NO_FATAL_FAILURE(PlaceAcknowledged("early-", 3));
  postgres_->Pause();
  EXPECT_EQ(StopWithinTheGrace(), Ending::Exited(4)) << orders().Output();
  postgres_->Resume();
  ExpectNothingLost();
}

TEST_F(OrdersOnPostgresTest, ThePagesShowThatTheDatabaseIsFrozen) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  std::string http;
  ASSERT_NO_FATAL_FAILURE(StartOrdersWithHttp(http));
  EXPECT_TRUE(testkit::Eventually([&http] {
    return admin::Get(http, "/readyz?verbose").body.find("[+]database: ok") != std::string::npos;
  }));
  postgres_->Pause();
  // Several at once: they are made one after the other, and each in time.
  std::list<admin::HttpCaller> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back(http);
    EXPECT_TRUE(callers.back().Send("GET /readyz?verbose HTTP/1.0\r\n\r\n"));
  }
  for (admin::HttpCaller& caller : callers) {
    EXPECT_THAT(caller.AwaitAnswer().body, HasSubstr("[-]database: "));
  }
  postgres_->Resume();
}

TEST_F(OrdersOnPostgresTest, SaysWhatIsWrongWhenItCannotStart) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  const std::string nowhere = postgres_->Url("nowhere");
  testkit::ChildProcess server({testkit::RunfileOrDie("service/orders_server"),
                                "--database=" + nowhere, "--address=127.0.0.1:0"});
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(2));
  EXPECT_THAT(server.Output(), HasSubstr("create the database"));
  EXPECT_THAT(server.Output(), Not(HasSubstr(postgres::PostgresServer::Password())));
}

}  // namespace
}  // namespace orders
