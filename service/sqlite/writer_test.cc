#include "service/sqlite/writer.h"

#include <atomic>
#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace sqlite {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testkit::Soon;

const Schema kNotes{.application_id = 7,
                    .migrations = {"CREATE TABLE notes (text TEXT NOT NULL UNIQUE)"}};

Writer::TimePoint In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

Writer::Work Add(const std::string& text) {
  return [text](Database& database) { return database.Run("INSERT INTO notes VALUES (?)", text); };
}

class WriterTest : public ::testing::Test {
 protected:
  // The default would refuse what a busy machine lets wait.
  WriterTest() { Open({.wait = testkit::kLong}); }

  void Open(const Writer::Bounds& bounds) {
    writer_ = nullptr;
    absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(path_, kNotes, {});
    ASSERT_TRUE(database.ok()) << database.status();
    writer_ = std::make_unique<Writer>(*std::move(database), bounds);
  }

  // Work that holds the writer until Release().
  void Hold() {
    std::promise<void> begun;
    held_ = std::thread([this, &begun] {
      EXPECT_TRUE(writer_
                      ->Run(Soon(),
                            [this, &begun](Database&) {
                              begun.set_value();
                              release_.get_future().wait();
                              return absl::OkStatus();
                            })
                      .ok());
    });
    begun.get_future().wait();
  }
  void Release() {
    release_.set_value();
    held_.join();
  }

  std::vector<std::string> Notes() {
    const auto reader = Database::OpenForReading(path_, {});
    EXPECT_TRUE(reader.ok()) << reader.status();
    std::vector<std::string> notes;
    Statement rows = (*reader)->Query("SELECT text FROM notes ORDER BY rowid");
    while (rows.Next()) notes.push_back(rows.String(0));
    EXPECT_TRUE(rows.status().ok()) << rows.status();
    return notes;
  }

  const testkit::TempDir directory_;
  const std::string path_ = directory_.File("notes.sqlite3");
  std::unique_ptr<Writer> writer_;
  std::promise<void> release_;
  std::thread held_;
};

TEST_F(WriterTest, StoresWorkBeforeItReturns) {
  EXPECT_TRUE(writer_->Run(Soon(), Add("one")).ok());
  EXPECT_THAT(Notes(), ElementsAre("one"));
}

TEST_F(WriterTest, ReturnsWhatWorkReturns) {
  const absl::StatusOr<std::int64_t> changes =
      writer_->Run<std::int64_t>(Soon(), [](Database& database) -> absl::StatusOr<std::int64_t> {
        if (absl::Status status = database.Run("INSERT INTO notes VALUES ('a'), ('b')");
            !status.ok()) {
          return status;
        }
        return database.Changes();
      });
  EXPECT_EQ(*changes, 2);
}

TEST_F(WriterTest, CommitsTogetherWhatWaitsWhileItIsBusy) {
  constexpr int kCallers = 20;
  Open({.batch_time = testkit::kLong, .wait = testkit::kLong});
  Hold();
  std::atomic<int> done = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&, i] {
      EXPECT_TRUE(writer_->Run(Soon(), Add(std::to_string(i))).ok());
      ++done;
    });
  }
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->waiting() == kCallers; }));
  EXPECT_EQ(done, 0);
  EXPECT_THAT(Notes(), IsEmpty());
  const std::size_t before = writer_->commits();
  Release();
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(Notes().size(), static_cast<std::size_t>(kCallers));
  // They may join the one that was under way.
  EXPECT_LE(writer_->commits() - before, 2u);
}

TEST_F(WriterTest, TakesNothingMoreIntoALongCommit) {
  const std::size_t before = writer_->commits();
  Hold();
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) {
    callers.emplace_back([this] {
      const auto slow = [](Database&) {
        std::this_thread::sleep_for(Writer::Bounds().batch_time);
        return absl::OkStatus();
      };
      EXPECT_TRUE(writer_->Run(Soon(), slow).ok());
    });
  }
  ASSERT_TRUE(testkit::Eventually([this] { return writer_->waiting() == 3; }));
  Release();
  for (std::thread& caller : callers) caller.join();
  // The first one may have joined the commit that was under way.
  EXPECT_GE(writer_->commits() - before, 3u);
}

TEST_F(WriterTest, ACommitTakesNoMoreThanItsBound) {
  Open({.batch = 2, .batch_time = testkit::kLong, .wait = testkit::kLong});
  const std::size_t before = writer_->commits();
  Hold();
  std::vector<std::thread> callers;
  for (int i = 0; i < 5; ++i) {
    callers.emplace_back(
        [this, i] { EXPECT_TRUE(writer_->Run(Soon(), Add(std::to_string(i))).ok()); });
  }
  ASSERT_TRUE(testkit::Eventually([this] { return writer_->waiting() == 5; }));
  Release();
  for (std::thread& caller : callers) caller.join();
  // Two of the six in each.
  EXPECT_EQ(writer_->commits() - before, 3u);
}

TEST_F(WriterTest, UndoesOnlyTheWorkThatFails) {
  Hold();
  std::vector<std::future<absl::Status>> answers;
  const auto add = [&](Writer::Work work) {
    answers.push_back(
        std::async(std::launch::async, [this, work] { return writer_->Run(Soon(), work); }));
    ASSERT_TRUE(testkit::Eventually([&] { return writer_->waiting() == answers.size(); }));
  };
  add(Add("first"));
  add([](Database& database) {
    EXPECT_TRUE(database.Run("INSERT INTO notes VALUES ('half')").ok());
    return absl::AlreadyExistsError("no");
  });
  add([](Database& database) {
    EXPECT_TRUE(database.Run("INSERT INTO notes VALUES ('thrown')").ok());
    throw std::runtime_error("a bug");
    return absl::OkStatus();
  });
  add([](Database& database) {
    EXPECT_TRUE(database.Run("INSERT INTO notes VALUES ('thrown')").ok());
    throw 1;
    return absl::OkStatus();
  });
  add(Add("first"));
  add(Add("last"));
  Release();
  EXPECT_TRUE(answers[0].get().ok());
  EXPECT_TRUE(absl::IsAlreadyExists(answers[1].get()));
  EXPECT_THAT(answers[2].get().ToString(),
              HasSubstr("INTERNAL: work for the database has thrown: a bug"));
  EXPECT_TRUE(absl::IsInternal(answers[3].get()));
  EXPECT_TRUE(absl::IsInternal(answers[4].get()));
  EXPECT_TRUE(answers[5].get().ok());
  EXPECT_THAT(Notes(), ElementsAre("first", "last"));
}

TEST_F(WriterTest, DoesNotBeginWorkWhoseDeadlineIsOver) {
  EXPECT_TRUE(absl::IsDeadlineExceeded(writer_->Run(In({}), Add("too late"))));
  Hold();
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      writer_->Run(In(std::chrono::milliseconds(20)), Add("waited in vain"))));
  Release();
  EXPECT_TRUE(writer_->Run(Soon(), Add("next")).ok());
  EXPECT_THAT(Notes(), ElementsAre("next"));
}

TEST_F(WriterTest, ADeadlineDuringTheWorkLeavesItOpen) {
  absl::Status open;
  // A machine that is busy may not even begin before a short deadline.
  for (std::chrono::milliseconds patience(20); !absl::IsUnknown(open) && patience < testkit::kLong;
       patience *= 2) {
    std::promise<void> release;
    open =
        writer_->Run(In(patience), [released = release.get_future().share()](Database& database) {
          released.wait();
          return database.Run("INSERT INTO notes VALUES ('stored')");
        });
    release.set_value();
  }
  EXPECT_TRUE(absl::IsUnknown(open)) << open;
  EXPECT_TRUE(writer_->Run(Soon(), Add("next")).ok());
  EXPECT_THAT(Notes(), ElementsAre("stored", "next"));
}

TEST_F(WriterTest, RefusesWorkDueBeforeItsTurn) {
  Hold();
  std::future<absl::Status> first =
      std::async(std::launch::async, [this] { return writer_->Run(Soon(), Add("first")); });
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->waiting() == 1; }));
  // The one in front has waited for longer than that, sooner or later.
  ASSERT_TRUE(testkit::Eventually([&] {
    return absl::IsResourceExhausted(writer_->Run(In(std::chrono::milliseconds(5)), Add("never")));
  }));
  Release();
  EXPECT_TRUE(first.get().ok());
  EXPECT_THAT(Notes(), ElementsAre("first"));
}

TEST_F(WriterTest, RefusesAnyWorkWhileTheOldestIsLate) {
  Open({.wait = std::chrono::milliseconds(0)});
  Hold();
  std::future<absl::Status> first =
      std::async(std::launch::async, [this] { return writer_->Run(Soon(), Add("first")); });
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->waiting() == 1; }));
  const absl::Status refused = writer_->Run(Soon(), Add("never"));
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  Release();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(writer_->Run(Soon(), Add("next")).ok()) << "nobody waits any more";
  EXPECT_THAT(Notes(), ElementsAre("first", "next"));
}

TEST_F(WriterTest, WaitsForAnotherProcessUntilTheDeadline) {
  const auto other = Database::Open(path_, kNotes, {});
  {
    const absl::StatusOr<Transaction> transaction = Transaction::Begin(**other);
    ASSERT_TRUE(transaction.ok());
    const absl::Status locked =
        absl::DeadlineExceededError("another process has locked the database");
    // It may not have learned of the lock before the first of these deadlines.
    EXPECT_TRUE(testkit::Eventually([&] {
      return writer_->Run(In(std::chrono::milliseconds(300)), Add("waited in vain")) == locked;
    }));
  }
  EXPECT_TRUE(writer_->Run(Soon(), Add("next")).ok());
  EXPECT_THAT(Notes(), ElementsAre("next"));
}

TEST_F(WriterTest, CloseCommitsWhatWaitsAndTakesNoMore) {
  Hold();
  std::future<absl::Status> waiting =
      std::async(std::launch::async, [this] { return writer_->Run(Soon(), Add("waited")); });
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->waiting() == 1; }));
  std::future<absl::Status> closed =
      std::async(std::launch::async, [this] { return writer_->Close(Soon()); });
  ASSERT_TRUE(testkit::Eventually([&] {
    return absl::IsFailedPrecondition(
        writer_->Run(In(std::chrono::milliseconds(5)), Add("no more")));
  }));
  Release();
  EXPECT_TRUE(waiting.get().ok());
  EXPECT_TRUE(closed.get().ok());
  EXPECT_TRUE(writer_->Close(Soon()).ok());
  EXPECT_FALSE(fs::exists(path_ + "-wal"));
  EXPECT_THAT(Notes(), ElementsAre("waited"));
}

TEST_F(WriterTest, AtItsDeadlineCloseDropsWorkNotBegun) {
  Hold();
  std::future<absl::Status> waiting =
      std::async(std::launch::async, [this] { return writer_->Run(Soon(), Add("waited")); });
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->waiting() == 1; }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(writer_->Close(In(std::chrono::milliseconds(20)))));
  EXPECT_TRUE(absl::IsUnavailable(waiting.get()));
  Release();
  EXPECT_TRUE(writer_->Close(Soon()).ok());
  EXPECT_THAT(Notes(), IsEmpty());
}

TEST_F(WriterTest, WritesNothingOnceItsFileHasMoved) {
  ASSERT_TRUE(writer_->Run(Soon(), Add("before")).ok());
  fs::rename(path_, path_ + ".moved");
  const absl::Status refused = writer_->Run(Soon(), Add("after"));
  EXPECT_TRUE(absl::IsFailedPrecondition(refused)) << refused;
  EXPECT_THAT(refused.ToString(), HasSubstr(path_ + " was moved, replaced or deleted"));
  EXPECT_TRUE(absl::IsFailedPrecondition(writer_->Close(Soon())));
}

TEST_F(WriterTest, AMovedFileLeavesTheCommitOpen) {
  const absl::Status status = writer_->Run(Soon(), [this](Database& database) {
    fs::rename(path_, path_ + ".moved");
    return database.Run("INSERT INTO notes VALUES ('lost?')");
  });
  EXPECT_TRUE(absl::IsUnknown(status)) << status;
}

}  // namespace
}  // namespace sqlite
