#include "service/sqlite/testing/failing_disk.h"

#include <cerrno>
#include <chrono>
#include <memory>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "service/sqlite/database.h"
#include "tests/common/temp_dir.h"

namespace sqlite {
namespace {

const Schema kNotes{.application_id = 7, .migrations = {"CREATE TABLE notes (text TEXT NOT NULL)"}};

class FailingDiskTest : public ::testing::Test {
 protected:
  absl::Status Commit() {
    absl::StatusOr<Transaction> transaction = Transaction::Begin(*database_);
    if (!transaction.ok()) return transaction.status();
    const absl::Status added = database_->Run("INSERT INTO notes VALUES ('a note')");
    return added.ok() ? transaction->Commit() : added;
  }

  const testkit::TempDir directory_;
  const std::unique_ptr<Database> database_ =
      *Database::Open(directory_.File("notes.sqlite3"), kNotes, {});
  FailingDisk disk_;
};

TEST_F(FailingDiskTest, FullDiskStoresNothingAndSaysSo) {
  disk_.FailWrites(ENOSPC);
  EXPECT_TRUE(absl::IsUnavailable(Commit()));
  disk_.FailWrites(0);
  EXPECT_TRUE(Commit().ok());
  Statement row = database_->Query("SELECT count(*) FROM notes");
  ASSERT_TRUE(row.Next());
  EXPECT_EQ(row.Int64(0), 1);
}

TEST_F(FailingDiskTest, AFailedSyncLeavesTheOutcomeOpen) {
  disk_.FailSyncs(EIO);
  EXPECT_TRUE(absl::IsUnknown(Commit()));
  disk_.FailSyncs(0);
  EXPECT_TRUE(Commit().ok());
}

TEST_F(FailingDiskTest, SlowDiskIsWaitedFor) {
  constexpr std::chrono::milliseconds kDelay(5);
  disk_.DelaySyncs(kDelay);
  const std::int64_t syncs = disk_.syncs();
  const auto begun = std::chrono::steady_clock::now();
  EXPECT_TRUE(Commit().ok());
  EXPECT_EQ(disk_.syncs() - syncs, 1);
  EXPECT_GE(std::chrono::steady_clock::now() - begun, kDelay);
}

}  // namespace
}  // namespace sqlite
