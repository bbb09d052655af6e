#include "service/sqlite/connections.h"

#include <atomic>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "tests/common/temp_dir.h"

namespace sqlite {
namespace {

namespace fs = std::filesystem;

const Schema kNotes{.application_id = 7, .migrations = {"CREATE TABLE notes (text TEXT NOT NULL)"}};

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

TEST_F(ConnectionsTest, LendTheirWriterToOneAtATime) {
  const std::unique_ptr<Connections> connections = Open();
  int at_once = 0;  // Guarded by the loan: a race here is what the thread sanitizer tells.
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const absl::StatusOr<Connections::Loan> writer = connections->Writer();
        ASSERT_TRUE(writer.ok());
        EXPECT_EQ(++at_once, 1);
        --at_once;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

TEST_F(ConnectionsTest, LendReadersWhileTheWriterIsLent) {
  const std::unique_ptr<Connections> connections = Open(/*readers=*/2);
  const absl::StatusOr<Connections::Loan> writer = connections->Writer();
  const absl::StatusOr<Connections::Loan> one = connections->Reader();
  const absl::StatusOr<Connections::Loan> other = connections->Reader();
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE(one.ok());
  ASSERT_TRUE(other.ok());
  EXPECT_NE(&**one, &**other);
}

TEST_F(ConnectionsTest, CloseWaitsForLoansAndLendsNothingMeanwhile) {
  const std::unique_ptr<Connections> connections = Open(/*readers=*/1);
  std::optional<absl::StatusOr<Connections::Loan>> reader = connections->Reader();
  ASSERT_TRUE(reader->ok());
  std::atomic<bool> given_back = false;
  std::future<absl::Status> close = std::async(std::launch::async, [&] {
    absl::Status status = connections->Close();
    EXPECT_TRUE(given_back);
    return status;
  });
  // Its own thread waits for the only reader until Close() turns it away.
  EXPECT_TRUE(absl::IsFailedPrecondition(connections->Reader().status()));
  EXPECT_TRUE(absl::IsFailedPrecondition(connections->Writer().status()));
  EXPECT_TRUE((**reader)->Run("SELECT text FROM notes").ok());
  given_back = true;
  reader.reset();
  EXPECT_TRUE(close.get().ok());
  // The last connection takes the log with it: the one that was lent is closed too.
  EXPECT_FALSE(fs::exists(path() + "-wal"));
}

TEST_F(ConnectionsTest, CloseMovesEverythingIntoTheFile) {
  const std::unique_ptr<Connections> connections = Open();
  ASSERT_TRUE((*connections->Writer())->Run("INSERT INTO notes VALUES ('kept')").ok());
  EXPECT_TRUE(connections->Close().ok());
  EXPECT_TRUE(connections->Close().ok());
  EXPECT_FALSE(fs::exists(path() + "-wal"));
  const std::unique_ptr<Connections> again = Open();
  const absl::StatusOr<Connections::Loan> reader = again->Reader();
  ASSERT_TRUE(reader.ok());
  Statement row = (*reader)->Query("SELECT text FROM notes");
  ASSERT_TRUE(row.Next());
  EXPECT_EQ(row.String(0), "kept");
}

}  // namespace
}  // namespace sqlite
