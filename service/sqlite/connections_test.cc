#include "service/sqlite/connections.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace sqlite {
namespace {

using testkit::Soon;

namespace fs = std::filesystem;

const Schema kNotes{.application_id = 7, .migrations = {"CREATE TABLE notes (text TEXT NOT NULL)"}};

Connections::TimePoint Shortly() {
  return std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
}

class ConnectionsTest : public ::testing::Test {
 protected:
  ConnectionsTest() {}

  std::unique_ptr<Connections> Open(std::size_t readers = 2) {
    absl::StatusOr<std::unique_ptr<Connections>> connections =
        Connections::Open(path(), kNotes, {.readers = readers});
    EXPECT_TRUE(connections.ok()) << connections.status();
    return connections.ok() ? *std::move(connections) : nullptr;
  }

  std::string path() const { return directory_.File("notes.sqlite3"); }

  const testkit::TempDir directory_;
};

TEST_F(ConnectionsTest, LendReadersWhileTheWriterIsAtWork) {
  const std::unique_ptr<Connections> connections = Open(/*readers=*/2);
  std::promise<void> release;
  std::promise<void> begun;
  std::thread writing([&] {
    EXPECT_TRUE(connections
                    ->Write(Soon(),
                            [&](Database& database) {
                              begun.set_value();
                              release.get_future().wait();
                              return database.Run("INSERT INTO notes VALUES ('late')");
                            })
                    .ok());
  });
  begun.get_future().wait();
  {
    const absl::StatusOr<Connections::Loan> one = connections->Reader(Soon());
    const absl::StatusOr<Connections::Loan> other = connections->Reader(Soon());
    ASSERT_TRUE(one.ok());
    ASSERT_TRUE(other.ok());
    EXPECT_NE(&**one, &**other);
    EXPECT_TRUE((*one)->Run("SELECT text FROM notes").ok());
  }
  release.set_value();
  writing.join();
}

TEST_F(ConnectionsTest, ReadersAreWaitedForUntilTheDeadline) {
  const std::unique_ptr<Connections> connections = Open(/*readers=*/1);
  const absl::StatusOr<Connections::Loan> only = connections->Reader(Soon());
  ASSERT_TRUE(only.ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(connections->Reader(Shortly()).status()));
}

TEST_F(ConnectionsTest, StatementsOfAReaderEndAtItsDeadline) {
  const std::unique_ptr<Connections> connections = Open();
  const absl::StatusOr<Connections::Loan> reader = connections->Reader(Shortly());
  ASSERT_TRUE(reader.ok());
  const absl::Status status = (*reader)->Run(
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n");
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
}

TEST_F(ConnectionsTest, CloseWaitsForLoansAndLendsNothingMeanwhile) {
  const std::unique_ptr<Connections> connections = Open(/*readers=*/1);
  std::optional<absl::StatusOr<Connections::Loan>> reader = connections->Reader(Soon());
  ASSERT_TRUE(reader->ok());
  std::atomic<bool> given_back = false;
  std::future<absl::Status> close = std::async(std::launch::async, [&] {
    absl::Status status = connections->Close(Soon());
    EXPECT_TRUE(given_back);
    return status;
  });
  // Its own thread waits for the only reader until Close() turns it away.
  EXPECT_TRUE(absl::IsFailedPrecondition(connections->Reader(Soon()).status()));
  EXPECT_TRUE((**reader)->Run("SELECT text FROM notes").ok());
  given_back = true;
  reader.reset();
  EXPECT_TRUE(close.get().ok());
  // The last connection takes the log with it: the one that was lent is closed too.
  EXPECT_FALSE(fs::exists(path() + "-wal"));
}

TEST_F(ConnectionsTest, CloseReportsGivingUpAtItsDeadline) {
  const std::unique_ptr<Connections> connections = Open(/*readers=*/1);
  const absl::StatusOr<Connections::Loan> reader = connections->Reader(Soon());
  ASSERT_TRUE(reader.ok());
  EXPECT_TRUE(absl::IsDeadlineExceeded(connections->Close(Shortly())));
}

TEST_F(ConnectionsTest, CloseMovesEverythingIntoTheFile) {
  const std::unique_ptr<Connections> connections = Open();
  ASSERT_TRUE(connections
                  ->Write(Soon(),
                          [](Database& database) {
                            return database.Run("INSERT INTO notes VALUES ('kept')");
                          })
                  .ok());
  EXPECT_TRUE(connections->Close(Soon()).ok());
  EXPECT_TRUE(connections->Close(Soon()).ok());
  EXPECT_FALSE(fs::exists(path() + "-wal"));
  const std::unique_ptr<Connections> again = Open();
  const absl::StatusOr<Connections::Loan> reader = again->Reader(Soon());
  ASSERT_TRUE(reader.ok());
  Statement row = (*reader)->Query("SELECT text FROM notes");
  ASSERT_TRUE(row.Next());
  EXPECT_EQ(row.String(0), "kept");
}

}  // namespace
}  // namespace sqlite
