#include "service/postgres/migrations.h"

#include <future>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/postgres/testing/server_under_test.h"

namespace postgres {
namespace {

using ::testing::HasSubstr;

const Schema kOld{.application = "shop", .migrations = {"CREATE TABLE a (id bigint)"}};
const Schema kExpanded{
    .application = "shop",
    .migrations = {"CREATE TABLE a (id bigint)", "ALTER TABLE a ADD COLUMN name text"}};
const Schema kContracted{
    .application = "shop",
    .migrations = {"CREATE TABLE a (id bigint)", "ALTER TABLE a ADD COLUMN name text",
                   "ALTER TABLE a DROP COLUMN id"},
    .contracted = 3};

class MigrationsTest : public ServerUnderTest {
 protected:
  absl::Status Migrated(const Schema& schema) { return Migrate(*Connect(), schema, Soon()); }
  bool Has(const std::string& columns) {
    return Connect()->Query(Statement("SELECT " + columns + " FROM a"), Soon()).ok();
  }
};

TEST_F(MigrationsTest, BringsEmptyAndOldDatabasesToOneVersion) {
  ASSERT_TRUE(Migrated(kOld).ok());
  EXPECT_TRUE(Has("id"));
  EXPECT_FALSE(Has("name"));
  ASSERT_TRUE(Migrated(kExpanded).ok());
  EXPECT_TRUE(Has("id, name"));
  EXPECT_TRUE(Migrated(kExpanded).ok()) << "nothing is left to do";
}

TEST_F(MigrationsTest, OlderProgramsServeUntilTheSchemaContracts) {
  ASSERT_TRUE(Migrated(kExpanded).ok());
  EXPECT_TRUE(Migrated(kOld).ok());
  EXPECT_TRUE(Has("id, name")) << "what is newer is left as it is";
  ASSERT_TRUE(Migrated(kContracted).ok());
  const absl::Status refused = Migrated(kExpanded);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("newer version"));
}

TEST_F(MigrationsTest, LeavesTheTablesOfAnotherApplicationAlone) {
  ASSERT_TRUE(Migrated(kOld).ok());
  Schema others = kExpanded;
  others.application = "library";
  const absl::Status refused = Migrated(others);
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_FALSE(Has("name"));
}

TEST_F(MigrationsTest, MigratesOnceWhenSeveralProcessesDoAtOnce) {
  std::vector<std::future<absl::Status>> migrations;
  for (int i = 0; i < 6; ++i) {
    migrations.push_back(std::async(std::launch::async, [&] { return Migrated(kContracted); }));
  }
  for (auto& migration : migrations) {
    const absl::Status status = migration.get();
    EXPECT_TRUE(status.ok()) << status;
  }
}

TEST_F(MigrationsTest, LeavesNothingOfAMigrationThatFails) {
  Schema broken = kExpanded;
  broken.migrations[1] = "ALTER TABLE a ADD COLUMN name text; ALTER TABLE nowhere ADD b text";
  EXPECT_FALSE(Migrated(broken).ok());
  EXPECT_TRUE(Has("id")) << "those before it are done";
  EXPECT_FALSE(Has("name"));
  EXPECT_TRUE(Migrated(kExpanded).ok()) << "nothing is locked, and it can be done again";
}

TEST_F(MigrationsTest, RefusesANegativeVersionAsDamage) {
  ASSERT_TRUE(Migrated(kOld).ok());
  ASSERT_TRUE(Connect()->RunScript("UPDATE schema_version SET version = -1", Soon()).ok());
  const absl::Status refused = Migrated(kExpanded);
  EXPECT_TRUE(absl::IsDataLoss(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("schema_version"));
}

TEST_F(MigrationsTest, NeedsNoRightToCreateOnceAllIsThere) {
  ASSERT_TRUE(
      Connect()
          ->RunScript("CREATE ROLE reader; REVOKE CREATE ON SCHEMA public FROM PUBLIC", Soon())
          .ok());
  const auto connection = Connect();
  ASSERT_TRUE(connection->RunScript("SET ROLE reader", Soon()).ok());
  const absl::Status refused = Migrate(*connection, kOld, Soon());
  EXPECT_TRUE(absl::IsPermissionDenied(refused)) << refused;
  EXPECT_THAT(std::string(refused.message()), HasSubstr("GRANT CREATE ON SCHEMA"));

  ASSERT_TRUE(Migrated(kOld).ok());
  const absl::Status unreadable = Migrate(*connection, kOld, Soon());
  EXPECT_TRUE(absl::IsPermissionDenied(unreadable)) << unreadable;
  EXPECT_THAT(std::string(unreadable.message()), HasSubstr("GRANT SELECT"));
  ASSERT_TRUE(
      Connect()->RunScript("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", Soon()).ok());
  const absl::Status found = Migrate(*connection, kOld, Soon());
  EXPECT_TRUE(found.ok()) << found;
  const absl::Status newer = Migrate(*connection, kExpanded, Soon());
  EXPECT_TRUE(absl::IsPermissionDenied(newer)) << newer;
  EXPECT_THAT(std::string(newer.message()), HasSubstr("owner"));
}

}  // namespace
}  // namespace postgres
