#include "service/postgres/writer.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/postgres/testing/server_under_test.h"
#include "tests/common/eventually.h"

namespace postgres {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

class WriterTest : public ServerUnderTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(ServerUnderTest::SetUp());
    ASSERT_TRUE(
        Connect()
            ->RunScript("CREATE TABLE t (id bigint PRIMARY KEY); CREATE TABLE log (at "
                        "bigint); CREATE TABLE lock (one bigint); INSERT INTO lock VALUES (1)",
                        Soon())
            .ok());
    auto pool = Pool::Open(url(), {}, Soon());
    ASSERT_TRUE(pool.ok()) << pool.status();
    pool_ = *std::move(pool);
    // The defaults would refuse or end what a busy machine lets wait.
    Begin({.commit_time = testkit::kLong, .wait = testkit::kLong});
  }

  void Begin(const Writer::Bounds& bounds) {
    writer_ = std::make_unique<Writer>(
        pool_, Writer::Statements{Statement("SELECT one FROM lock FOR UPDATE")},
        Writer::Statements{Statement("INSERT INTO log VALUES (1)")}, bounds);
  }

  // A connection that holds this lock until Unlock().
  std::unique_ptr<Connection> Lock(std::int64_t number) {
    auto connection = Connect();
    EXPECT_TRUE(connection->Query(Statement("SELECT pg_advisory_lock($1)", number), Soon()).ok());
    return connection;
  }
  static void Unlock(Connection& connection) {
    EXPECT_TRUE(connection.Query(Statement("SELECT pg_advisory_unlock_all()"), Soon()).ok());
  }
  // Work that ends when this lock is free.
  std::future<absl::Status> WriteOnceUnlocked(std::int64_t number) {
    return Write({Statement("SELECT pg_advisory_xact_lock($1)", number)});
  }
  bool Eventually(std::size_t commits, std::size_t waiting) {
    return testkit::Eventually(
        [&] { return writer_->commits() == commits && writer_->waiting() == waiting; });
  }

  static Writer::Statements Insert(std::int64_t id) {
    return {Statement("INSERT INTO t VALUES ($1)", id), Statement("SELECT $1 + 0", id)};
  }
  std::future<absl::Status> Write(Writer::Statements statements, TimePoint deadline = Soon()) {
    return std::async(std::launch::async, [this, statements, deadline] {
      return writer_->Run(statements, deadline).status();
    });
  }
  std::int64_t Count(const std::string& table) {
    const auto rows = Connect()->Query(Statement("SELECT count(*) FROM " + table), Soon());
    return rows.ok() ? rows->Int64(0, 0) : -1;
  }

  std::shared_ptr<Pool> pool_;
  std::unique_ptr<Writer> writer_;
};

TEST_F(WriterTest, AnswersEachCallerWithItsOwnRows) {
  std::vector<std::future<std::int64_t>> callers;
  for (std::int64_t id = 0; id < 40; ++id) {
    callers.push_back(std::async(std::launch::async, [this, id] {
      const auto rows = writer_->Run(Insert(id), Soon());
      EXPECT_TRUE(rows.ok()) << rows.status();
      return rows.ok() ? rows->at(1).Int64(0, 0) : -1;
    }));
  }
  for (std::int64_t id = 0; id < 40; ++id) EXPECT_EQ(callers[id].get(), id);
  EXPECT_EQ(Count("t"), 40);
}

TEST_F(WriterTest, CommitsTogetherWhatWaitsDuringACommit) {
  // The first commit waits for this lock, and the others for the first.
  const auto lock = Connect();
  ASSERT_TRUE(lock->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  auto first = Write({Statement("SELECT pg_advisory_xact_lock(1)")});
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->commits() == 1; }));
  std::vector<std::future<absl::Status>> others;
  for (std::int64_t id = 0; id < 20; ++id) others.push_back(Write(Insert(id)));
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->waiting() == 20; }));
  ASSERT_TRUE(lock->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(first.get().ok());
  for (auto& other : others) EXPECT_TRUE(other.get().ok());
  EXPECT_EQ(writer_->commits(), 2u);
  EXPECT_EQ(Count("t"), 20);
  EXPECT_EQ(Count("log"), 2);
}

TEST_F(WriterTest, ARefusedStatementKeepsItsCommitsOthers) {
  ASSERT_TRUE(Write(Insert(7)).get().ok());
  const auto lock = Connect();
  ASSERT_TRUE(lock->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  auto first = Write({Statement("SELECT pg_advisory_xact_lock(1)")});
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->commits() == 2; }));
  auto good = Write(Insert(1));
  auto bad = Write(Insert(7));
  auto other = Write(Insert(2));
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->waiting() == 3; }));
  ASSERT_TRUE(lock->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(good.get().ok());
  EXPECT_TRUE(absl::IsInternal(bad.get()));
  EXPECT_TRUE(other.get().ok());
  EXPECT_EQ(Count("t"), 3);
  EXPECT_EQ(writer_->commits(), 6u) << "two, the refused one, and each of its three alone";
}

TEST_F(WriterTest, RetriesNothingLostDuringACommit) {
  const auto one = Lock(1);
  const auto two = Lock(2);
  auto first = WriteOnceUnlocked(1);
  ASSERT_TRUE(Eventually(1, 0));
  auto hanging = WriteOnceUnlocked(2);
  auto other = Write(Insert(1));
  ASSERT_TRUE(Eventually(1, 2));
  Unlock(*one);
  ASSERT_TRUE(first.get().ok());
  const Statement terminate(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory'");
  ASSERT_TRUE(
      testkit::Eventually([&] { return Connect()->Query(terminate, Soon())->size() == 1; }));
  EXPECT_FALSE(other.get().ok());
  EXPECT_FALSE(hanging.get().ok());
  EXPECT_EQ(Count("t"), 0);
}

TEST_F(WriterTest, BeginsNoWorkPastItsDeadline) {
  const auto lock = Connect();
  ASSERT_TRUE(lock->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  auto patient = Write({Statement("SELECT pg_advisory_xact_lock(1)")});
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->commits() == 1; }));
  auto short_of_time = Write(Insert(1), steady_clock::now() + milliseconds(50));
  EXPECT_TRUE(absl::IsDeadlineExceeded(short_of_time.get())) << "it has not begun";
  ASSERT_TRUE(lock->Query(Statement("SELECT pg_advisory_unlock(1)"), Soon()).ok());
  EXPECT_TRUE(patient.get().ok());
  ASSERT_TRUE(Write(Insert(2)).get().ok());
  EXPECT_EQ(Count("t"), 1);
}

TEST_F(WriterTest, ACommitTakesNoMoreThanItsBound) {
  Begin({.batch = 2, .commit_time = testkit::kLong, .wait = testkit::kLong});
  const auto lock = Lock(1);
  auto first = WriteOnceUnlocked(1);
  ASSERT_TRUE(Eventually(1, 0));
  std::vector<std::future<absl::Status>> others;
  for (std::int64_t id = 0; id < 5; ++id) others.push_back(Write(Insert(id)));
  ASSERT_TRUE(Eventually(1, 5));
  Unlock(*lock);
  for (auto& other : others) EXPECT_TRUE(other.get().ok());
  EXPECT_EQ(writer_->commits(), 4u);
}

TEST_F(WriterTest, RefusesWorkWhileTheOldestWaitsTooLong) {
  Begin({.wait = milliseconds(0)});
  const auto lock = Lock(1);
  auto first = WriteOnceUnlocked(1);
  ASSERT_TRUE(Eventually(1, 0));
  auto second = Write(Insert(1));
  ASSERT_TRUE(Eventually(1, 1));
  const absl::Status refused = Write(Insert(2)).get();
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  Unlock(*lock);
  EXPECT_TRUE(second.get().ok());
  EXPECT_TRUE(Write(Insert(3)).get().ok()) << "nobody waits any more";
}

TEST_F(WriterTest, EndsALongCommitBeforeItsCallersDeadlines) {
  absl::Status ended;
  // A machine that is busy may hear too late of the end to know that nothing is stored.
  for (milliseconds bound(200); !absl::IsUnavailable(ended) && bound < milliseconds(10'000);
       bound *= 2) {
    Begin({.commit_time = bound});
    const auto lock = Lock(1);
    auto hanging = Write({Statement("SELECT pg_advisory_xact_lock(1)")},
                         steady_clock::now() + std::chrono::hours(1));
    ASSERT_EQ(hanging.wait_for(testkit::kLong), std::future_status::ready);
    ended = hanging.get();
    EXPECT_FALSE(ended.ok());
  }
  EXPECT_TRUE(absl::IsUnavailable(ended)) << ended;
  // The bound may also be too short for one that does not hang.
  std::int64_t tries = 0;
  EXPECT_TRUE(testkit::Eventually([&] { return Write(Insert(++tries)).get().ok(); }));
}

class LeftDuringACommitTest : public WriterTest {
 protected:
  // Inserts a row into t, leaves during the commit, and has `end` end that: it waits for a lock that
  // this connection holds. Returns what the late answer was.
  absl::Status LateAnswer(const std::function<void(Connection&)>& end) {
    const auto late = std::make_shared<std::promise<absl::Status>>();
    absl::Status open;
    // A machine that is busy may not even begin before a short deadline.
    for (milliseconds patience(250); !absl::IsUnknown(open) && patience < milliseconds(10'000);
         patience *= 2) {
      const auto one = Lock(1);
      const auto two = Lock(2);
      const std::size_t commits = writer_->commits();
      auto first = WriteOnceUnlocked(1);
      if (!Eventually(commits + 1, 0)) break;
      auto hanging = WriteOnceUnlocked(2);
      if (!Eventually(commits + 1, 1)) break;
      auto short_of_time =
          std::async(std::launch::async, [&, deadline = steady_clock::now() + patience] {
            return writer_
                ->Run(Insert(++tries_), deadline,
                      [late](const absl::Status& ended) { late->set_value(ended); })
                .status();
          });
      // Else the hanging one may be committed alone.
      EXPECT_TRUE(testkit::Eventually([&] {
        return writer_->waiting() == 2 ||
               short_of_time.wait_for(milliseconds(0)) == std::future_status::ready;
      }));
      Unlock(*one);
      open = short_of_time.get();
      end(*two);
      hanging.get().IgnoreError();
    }
    EXPECT_TRUE(absl::IsUnknown(open)) << open;
    auto ended = late->get_future();
    if (ended.wait_for(testkit::kLong) == std::future_status::ready) return ended.get();
    return absl::DeadlineExceededError("there was none");
  }

 private:
  std::int64_t tries_ = 0;
};

TEST_F(LeftDuringACommitTest, LearnsThatItIsStored) {
  const absl::Status ended = LateAnswer(Unlock);
  EXPECT_TRUE(ended.ok()) << ended;
  EXPECT_EQ(Count("t"), 1);
}

TEST_F(LeftDuringACommitTest, LearnsThatNothingIsStored) {
  const absl::Status ended = LateAnswer([](Connection& holder) {
    const Statement terminate(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'advisory'");
    // It may not wait yet.
    EXPECT_TRUE(testkit::Eventually([&] { return holder.Query(terminate, Soon())->size() > 0; }));
  });
  EXPECT_TRUE(absl::IsUnavailable(ended)) << ended;
  EXPECT_EQ(Count("t"), 0);
}

TEST_F(WriterTest, CloseCommitsWaitingWorkAndRefusesNew) {
  std::vector<std::future<absl::Status>> callers;
  for (std::int64_t id = 0; id < 10; ++id) callers.push_back(Write(Insert(id)));
  EXPECT_TRUE(writer_->Close(Soon()).ok());
  std::int64_t stored = 0;
  for (auto& caller : callers) {
    const absl::Status status = caller.get();
    EXPECT_TRUE(status.ok() || absl::IsFailedPrecondition(status)) << status;
    stored += status.ok();
  }
  EXPECT_EQ(Count("t"), stored);
  EXPECT_TRUE(absl::IsFailedPrecondition(Write(Insert(99)).get()));
}

TEST_F(WriterTest, IsClosedInTimeWhileACommitHangs) {
  const auto lock = Connect();
  ASSERT_TRUE(lock->Query(Statement("SELECT pg_advisory_lock(1)"), Soon()).ok());
  auto hanging = Write({Statement("SELECT pg_advisory_xact_lock(1)")});
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->commits() == 1; }));
  auto waiting = Write(Insert(1));
  ASSERT_TRUE(testkit::Eventually([&] { return writer_->waiting() == 1; }));
  EXPECT_TRUE(absl::IsDeadlineExceeded(writer_->Close(steady_clock::now() + milliseconds(100))));
  EXPECT_TRUE(absl::IsFailedPrecondition(waiting.get()));
  pool_->Close(steady_clock::now() + milliseconds(500)).IgnoreError();
  EXPECT_FALSE(hanging.get().ok());
}

}  // namespace
}  // namespace postgres
