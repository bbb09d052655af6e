#include "service/sqlite/database.h"

#include <linux/capability.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/sqlite/turnstile.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace sqlite {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Schema kNotes{.application_id = 7, .migrations = {"CREATE TABLE notes (text TEXT NOT NULL)"}};
constexpr Database::Options kImpatient{.busy_timeout = std::chrono::milliseconds(0)};

void WriteFile(const std::string& path, const std::string& content) {
  std::ofstream(path, std::ios::binary) << content;
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// Root may write everything; this thread then no longer may.
void ObeyFilePermissions() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  ASSERT_EQ(syscall(SYS_capget, &header, data), 0);
  data[0].effective &= ~((1u << CAP_DAC_OVERRIDE) | (1u << CAP_DAC_READ_SEARCH));
  ASSERT_EQ(syscall(SYS_capset, &header, data), 0);
}

class DatabaseTest : public ::testing::Test {
 protected:
  DatabaseTest() { path_ = directory_.File("notes.sqlite3"); }

  std::unique_ptr<Database> OpenNotes(const Database::Options& options = {}) {
    absl::StatusOr<std::unique_ptr<Database>> database = Database::Open(path_, kNotes, options);
    EXPECT_TRUE(database.ok()) << database.status();
    return database.ok() ? *std::move(database) : nullptr;
  }

  absl::Status FailToOpen(const std::string& path, const Schema& schema = kNotes) {
    const absl::StatusOr<std::unique_ptr<Database>> database =
        Database::Open(path, schema, kImpatient);
    EXPECT_FALSE(database.ok());
    EXPECT_THAT(std::string(database.status().message()), HasSubstr(path));
    return database.status();
  }

  static std::vector<std::string> Notes(Database& database) {
    std::vector<std::string> notes;
    Statement rows = database.Query("SELECT text FROM notes ORDER BY rowid");
    while (rows.Next()) notes.push_back(rows.String(0));
    EXPECT_TRUE(rows.status().ok()) << rows.status();
    return notes;
  }

  static absl::Status AddNote(Database& database, const std::string& text) {
    return database.Run("INSERT INTO notes VALUES (?)", text);
  }

  // Returns when somebody stands in the turnstile.
  void AwaitOccupied() {
    const auto turnstile = Turnstile::Open(path_ + "-turn");
    ASSERT_TRUE(turnstile.ok());
    ASSERT_TRUE(testkit::Eventually([&] {
      const bool free = (*turnstile)->Enter(std::chrono::steady_clock::now());
      if (free) (*turnstile)->Leave();
      return !free;
    }));
  }

  const testkit::TempDir directory_;
  std::string path_;
};

TEST_F(DatabaseTest, KeepsWhatWasWrittenWhenOpenedAgain) {
  ASSERT_TRUE(AddNote(*OpenNotes(), "first").ok());
  EXPECT_THAT(Notes(*OpenNotes()), ElementsAre("first"));
}

TEST_F(DatabaseTest, CreatesDataFilesForTheirOwnerOnly) {
  umask(022);
  const std::unique_ptr<Database> database = OpenNotes();
  ASSERT_TRUE(AddNote(*database, "private").ok());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    EXPECT_EQ(fs::status(path_ + suffix).permissions(), fs::perms(0600)) << suffix;
  }
}

TEST_F(DatabaseTest, LeavesAnExistingFilesMode) {
  WriteFile(path_, "");
  fs::permissions(path_, fs::perms(0660));
  const std::unique_ptr<Database> database = OpenNotes();
  ASSERT_TRUE(AddNote(*database, "shared").ok());
  for (const char* suffix : {"", "-wal", "-shm"}) {
    EXPECT_EQ(fs::status(path_ + suffix).permissions(), fs::perms(0660)) << suffix;
  }
}

TEST_F(DatabaseTest, RefusesAUriButNotAFileThatIsCalledSo) {
  const fs::path before = fs::current_path();
  fs::current_path(directory_.path());
  for (const char* uri : {"file:notes.sqlite3?nolock=1", "sqlite:notes.sqlite3"}) {
    const absl::Status status = FailToOpen(uri);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("it is a URI"));
    EXPECT_TRUE(fs::is_empty("."));
  }
  path_ = "./file:notes.sqlite3";
  ASSERT_NE(OpenNotes(), nullptr);
  EXPECT_TRUE(fs::exists("file:notes.sqlite3"));
  EXPECT_FALSE(fs::exists("notes.sqlite3"));
  fs::current_path(before);
}

TEST_F(DatabaseTest, RefusesAPipeWithoutWaiting) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  const absl::Status status = FailToOpen(path_);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("it is not a regular file"));
  EXPECT_TRUE(fs::is_fifo(path_));
}

TEST_F(DatabaseTest, FollowsNoDanglingLink) {
  fs::create_symlink("elsewhere", path_);
  EXPECT_THAT(std::string(FailToOpen(path_).message()), HasSubstr("dangling symbolic link"));
  EXPECT_FALSE(fs::exists(directory_.File("elsewhere")));
}

TEST_F(DatabaseTest, FollowsNoLinkAtItsTurnstilesName) {
  fs::create_symlink("elsewhere", path_ + "-turn");
  EXPECT_TRUE(absl::IsPermissionDenied(Database::Open(path_, kNotes, kImpatient).status()));
  EXPECT_FALSE(fs::exists(directory_.File("elsewhere")));
}

TEST_F(DatabaseTest, KeepsTextBlobsAndNumbersAsTheyAre) {
  const std::unique_ptr<Database> database = OpenNotes();
  const std::string bytes("a\0\xff", 3);
  Statement row =
      database->Query("SELECT ?, ?, ?, ?", bytes, Blob{bytes}, INT64_MIN, std::string());
  ASSERT_TRUE(row.Next()) << row.status();
  EXPECT_EQ(row.String(0), bytes);
  EXPECT_EQ(row.String(1), bytes);
  EXPECT_EQ(row.Int64(2), INT64_MIN);
  EXPECT_EQ(row.String(3), "");
  EXPECT_FALSE(row.Next());
  EXPECT_TRUE(row.status().ok());
}

TEST_F(DatabaseTest, CommitsDurablyWithTheSafestSettings) {
  const std::unique_ptr<Database> database = OpenNotes();
  std::vector<std::string> settings;
  for (const char* setting : {"journal_mode", "synchronous", "foreign_keys"}) {
    Statement row = database->Query(std::string("PRAGMA ") + setting);
    ASSERT_TRUE(row.Next());
    settings.push_back(row.String(0));
  }
  EXPECT_THAT(settings, ElementsAre("wal", /*FULL*/ "2", "1"));
}

TEST_F(DatabaseTest, RunsTheSameStatementInsideItself) {
  const std::unique_ptr<Database> database = OpenNotes();
  ASSERT_TRUE(AddNote(*database, "a").ok());
  ASSERT_TRUE(AddNote(*database, "b").ok());
  std::vector<std::string> pairs;
  Statement outer = database->Query("SELECT text FROM notes ORDER BY text");
  while (outer.Next()) {
    Statement inner = database->Query("SELECT text FROM notes ORDER BY text");
    while (inner.Next()) pairs.push_back(outer.String(0) + inner.String(0));
  }
  EXPECT_THAT(pairs, ElementsAre("aa", "ab", "ba", "bb"));
}

TEST_F(DatabaseTest, ReportsWrongSqlAndValuesAsInternalErrors) {
  const std::unique_ptr<Database> database = OpenNotes();
  EXPECT_TRUE(absl::IsInternal(database->Run("SELEKT")));
  EXPECT_TRUE(absl::IsInternal(database->Run("INSERT INTO notes VALUES (?)")));
  EXPECT_TRUE(absl::IsInternal(database->Run("SELECT 1", std::int64_t{1})));
  EXPECT_TRUE(absl::IsInternal(database->Run("INSERT INTO notes VALUES (NULL)")));
}

TEST_F(DatabaseTest, TransactionIsRolledBackUnlessCommitted) {
  const std::unique_ptr<Database> database = OpenNotes();
  {
    absl::StatusOr<Transaction> transaction = Transaction::Begin(*database);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(AddNote(*database, "forgotten").ok());
  }
  {
    absl::StatusOr<Transaction> transaction = Transaction::Begin(*database);
    ASSERT_TRUE(transaction.ok());
    ASSERT_TRUE(AddNote(*database, "kept").ok());
    ASSERT_TRUE(transaction->Commit().ok());
  }
  EXPECT_THAT(Notes(*database), ElementsAre("kept"));
}

TEST_F(DatabaseTest, ASecondWriterIsUnavailableAfterTheTimeout) {
  const std::unique_ptr<Database> one = OpenNotes();
  const std::unique_ptr<Database> other = OpenNotes(kImpatient);
  absl::StatusOr<Transaction> transaction = Transaction::Begin(*one);
  ASSERT_TRUE(transaction.ok());
  EXPECT_TRUE(absl::IsUnavailable(AddNote(*other, "late")));
  EXPECT_TRUE(absl::IsUnavailable(Transaction::Begin(*other).status()));
  ASSERT_TRUE(transaction->Commit().ok());
  EXPECT_TRUE(AddNote(*other, "now").ok());
}

TEST_F(DatabaseTest, LetsAWaiterWriteBeforeTheLastWriter) {
  constexpr Database::Options kPatient{.busy_timeout = std::chrono::minutes(10)};
  const std::unique_ptr<Database> hasty = OpenNotes(kPatient);
  absl::StatusOr<Transaction> first = Transaction::Begin(*hasty);
  ASSERT_TRUE(first.ok());
  std::thread waiting([&, database = OpenNotes(kPatient)] {
    absl::StatusOr<Transaction> transaction = Transaction::Begin(*database);
    ASSERT_TRUE(transaction.ok());
    EXPECT_TRUE(AddNote(*database, "waited").ok());
    EXPECT_TRUE(transaction->Commit().ok());
  });
  AwaitOccupied();
  ASSERT_TRUE(first->Commit().ok());

  const absl::StatusOr<Transaction> second = Transaction::Begin(*hasty);
  ASSERT_TRUE(second.ok());
  EXPECT_THAT(Notes(*hasty), ElementsAre("waited"));
  waiting.join();
}

TEST_F(DatabaseTest, WritesEvenWhenTheTurnstileStaysOccupied) {
  const std::unique_ptr<Database> database =
      OpenNotes({.busy_timeout = std::chrono::milliseconds(10)});
  const auto turnstile = Turnstile::Open(path_ + "-turn");
  ASSERT_TRUE((*turnstile)->Enter(std::chrono::steady_clock::now()));
  EXPECT_TRUE(Transaction::Begin(*database).ok());
}

TEST_F(DatabaseTest, ReadersSeeTheLastCommitDuringAWrite) {
  const std::unique_ptr<Database> writer = OpenNotes();
  ASSERT_TRUE(AddNote(*writer, "committed").ok());
  const auto reader = Database::OpenForReading(path_, kImpatient);
  ASSERT_TRUE(reader.ok()) << reader.status();
  absl::StatusOr<Transaction> transaction = Transaction::Begin(*writer);
  ASSERT_TRUE(transaction.ok());
  ASSERT_TRUE(AddNote(*writer, "not yet").ok());
  EXPECT_THAT(Notes(**reader), ElementsAre("committed"));
  ASSERT_TRUE(transaction->Commit().ok());
  EXPECT_THAT(Notes(**reader), ElementsAre("committed", "not yet"));
}

TEST_F(DatabaseTest, ConnectionForReadingDoesNotWrite) {
  OpenNotes();
  const auto reader = Database::OpenForReading(path_, kImpatient);
  ASSERT_TRUE(reader.ok()) << reader.status();
  EXPECT_FALSE(AddNote(**reader, "no").ok());
}

TEST_F(DatabaseTest, AFullDiskChangesNothingAndIsUnavailable) {
  const std::unique_ptr<Database> database = OpenNotes();
  ASSERT_TRUE(AddNote(*database, "small").ok());
  ASSERT_TRUE(database->RunScript("PRAGMA max_page_count = 3").ok());
  {
    absl::StatusOr<Transaction> transaction = Transaction::Begin(*database);
    ASSERT_TRUE(transaction.ok());
    EXPECT_TRUE(absl::IsUnavailable(AddNote(*database, std::string(1'000'000, 'x'))));
  }
  EXPECT_THAT(Notes(*database), ElementsAre("small"));
  EXPECT_TRUE(AddNote(*database, "still works").ok());
}

TEST_F(DatabaseTest, ReportsLaterDamageAsDataLoss) {
  {
    const std::unique_ptr<Database> database = OpenNotes();
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(AddNote(*database, std::string(1000, 'x')).ok());
  }
  std::string content = ReadFile(path_);
  for (std::size_t page = 4096; page < content.size(); page += 4096) content[page] = '\x77';
  WriteFile(path_, content);
  const std::unique_ptr<Database> database = OpenNotes();
  EXPECT_TRUE(absl::IsDataLoss(database->Run("SELECT text FROM notes")));
}

TEST_F(DatabaseTest, CheckpointMovesTheLogIntoTheFile) {
  const std::unique_ptr<Database> database = OpenNotes();
  ASSERT_TRUE(AddNote(*database, "a note to look for").ok());
  EXPECT_THAT(ReadFile(path_), ::testing::Not(HasSubstr("a note to look for")));
  EXPECT_TRUE(database->Checkpoint().ok());
  EXPECT_THAT(ReadFile(path_), HasSubstr("a note to look for"));
}

TEST_F(DatabaseTest, MigratesAnOlderFile) {
  ASSERT_TRUE(AddNote(*OpenNotes(), "old").ok());
  Schema newer = kNotes;
  newer.migrations.push_back("ALTER TABLE notes ADD COLUMN author TEXT NOT NULL DEFAULT 'nobody'");
  const auto database = Database::Open(path_, newer, {});
  ASSERT_TRUE(database.ok()) << database.status();
  Statement row = (*database)->Query("SELECT text, author FROM notes");
  ASSERT_TRUE(row.Next()) << row.status();
  EXPECT_EQ(row.String(0) + " by " + row.String(1), "old by nobody");
}

TEST_F(DatabaseTest, AFailedMigrationChangesNothing) {
  ASSERT_TRUE(AddNote(*OpenNotes(), "old").ok());
  Schema newer = kNotes;
  newer.migrations.push_back("DELETE FROM notes");
  newer.migrations.push_back("SELEKT");
  EXPECT_TRUE(absl::IsInternal(FailToOpen(path_, newer)));
  EXPECT_THAT(Notes(*OpenNotes()), ElementsAre("old"));
}

TEST_F(DatabaseTest, ConcurrentOpensCreateItOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const std::unique_ptr<Database> database =
          OpenNotes({.busy_timeout = std::chrono::seconds(60)});
      ASSERT_NE(database, nullptr);
      EXPECT_TRUE(AddNote(*database, "here").ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(Notes(*OpenNotes()).size(), 8u);
}

TEST_F(DatabaseTest, NamesTheDirectoryThatIsMissing) {
  const absl::Status status = FailToOpen(directory_.File("nowhere/notes.sqlite3"));
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("there is no directory " + directory_.File("nowhere;")));
}

TEST_F(DatabaseTest, RefusesAUrlWithoutRepeatingIt) {
  for (const char* const path : {"mysql://ada:s3cret@db/orders", "host=db password=s3cret"}) {
    const absl::Status status = Database::Open(path, kNotes, kImpatient).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                testing::AllOf(HasSubstr("is no file"), testing::Not(HasSubstr("s3cret"))));
  }
}

TEST_F(DatabaseTest, RefusesADirectory) {
  const absl::Status status = FailToOpen(directory_.path());
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("it is a directory"));
}

TEST_F(DatabaseTest, RefusesNamesThatAreNoFiles) {
  EXPECT_TRUE(absl::IsFailedPrecondition(FailToOpen("")));
  EXPECT_TRUE(absl::IsFailedPrecondition(FailToOpen(":memory:")));
}

TEST_F(DatabaseTest, RefusesAReadOnlyFile) {
  OpenNotes();
  ASSERT_EQ(chmod(path_.c_str(), 0444), 0);
  std::thread([&] {
    ObeyFilePermissions();
    const absl::Status status = FailToOpen(path_);
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("it is read-only"));
  }).join();
}

TEST_F(DatabaseTest, RefusesAFileThatItMayNotUse) {
  OpenNotes();
  ASSERT_EQ(chmod(path_.c_str(), 0), 0);
  ASSERT_EQ(chmod(directory_.path().c_str(), 0555), 0);
  std::thread([&] {
    ObeyFilePermissions();
    for (const std::string& path : {path_, directory_.File("new.sqlite3")}) {
      const absl::Status status = FailToOpen(path);
      EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("; give this user write permission"));
    }
  }).join();
  ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
}

TEST_F(DatabaseTest, RefusesAReadOnlyDirectory) {
  OpenNotes();
  ASSERT_EQ(chmod(directory_.path().c_str(), 0555), 0);
  std::thread([&] {
    ObeyFilePermissions();
    const absl::Status status = FailToOpen(path_);
    EXPECT_TRUE(absl::IsPermissionDenied(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                HasSubstr("write permission for it and its directory"));
  }).join();
  ASSERT_EQ(chmod(directory_.path().c_str(), 0755), 0);
}

TEST_F(DatabaseTest, BlamesNoPermissionWhenNoDescriptorIsLeft) {
  OpenNotes();
  const std::string path = path_;
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
  // Nothing that a sanitizer would need one for.
  const absl::Status status = Database::Open(path, kNotes, kImpatient).status();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(status.message(), "cannot open database " + path_ + ": Too many open files");
}

TEST_F(DatabaseTest, RefusesGarbageAndLeavesItAsItIs) {
  for (const std::string& garbage : {std::string("hello"), std::string(10'000, 'x')}) {
    WriteFile(path_, garbage);
    const absl::Status status = FailToOpen(path_);
    EXPECT_TRUE(absl::IsDataLoss(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("not an SQLite database"));
    EXPECT_EQ(ReadFile(path_), garbage);
  }
}

TEST_F(DatabaseTest, RefusesANegativeVersionAsDamage) {
  ASSERT_TRUE(OpenNotes()->RunScript("PRAGMA user_version = -1").ok());
  const absl::Status status = FailToOpen(path_);
  EXPECT_TRUE(absl::IsDataLoss(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("it is damaged or not an SQLite database"));
}

TEST_F(DatabaseTest, OpensOrRefusesAHeaderWithAnyBitFlipped) {
  ASSERT_TRUE(AddNote(*OpenNotes(), "first").ok());
  const std::string whole = ReadFile(path_);
  for (std::size_t bit = 0; bit < 800; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    for (const char* suffix : {"", "-wal", "-shm"}) fs::remove(path_ + suffix);
    WriteFile(path_, flipped);
    const auto database = Database::Open(path_, kNotes, kImpatient);
    if (database.ok()) continue;
    EXPECT_THAT(std::string(database.status().message()), HasSubstr(path_)) << bit;
  }
}

TEST_F(DatabaseTest, RefusesAndKeepsAnotherApplicationsDatabase) {
  // One that numbers its files as this one does, and one that numbers nothing.
  const Schema others{.application_id = 8, .migrations = {"CREATE TABLE songs (title TEXT)"}};
  ASSERT_TRUE(Database::Open(path_, others, {}).ok());
  const std::string unnumbered = directory_.File("unnumbered.sqlite3");
  ASSERT_TRUE((*Database::Open(unnumbered, others, {}))
                  ->RunScript("PRAGMA application_id = 0; PRAGMA user_version = 0;"
                              "PRAGMA journal_mode = DELETE")
                  .ok());
  for (const std::string& path : {path_, unnumbered}) {
    const std::string before = ReadFile(path);
    const absl::Status status = FailToOpen(path);
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr("belongs to another application"));
    EXPECT_EQ(ReadFile(path), before);
  }
}

TEST_F(DatabaseTest, AnOlderProgramUsesAnExpandedFile) {
  const std::unique_ptr<Database> before = OpenNotes();
  Schema newer = kNotes;
  newer.migrations.push_back("ALTER TABLE notes ADD COLUMN author TEXT NOT NULL DEFAULT 'nobody'");
  const auto expanded = Database::Open(path_, newer, {});
  ASSERT_TRUE(expanded.ok()) << expanded.status();
  // One that was running, and one that begins: a roll-back.
  const std::unique_ptr<Database> after = OpenNotes();
  for (Database* database : {before.get(), after.get(), expanded->get()}) {
    EXPECT_TRUE(database->Run("INSERT INTO notes (text) VALUES ('n')").ok());
  }
  EXPECT_EQ(Notes(*before).size(), 3u);
  // The old one has changed nothing about that.
  const auto again = Database::Open(path_, newer, {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_TRUE((*again)->Run("SELECT author FROM notes").ok());
}

TEST_F(DatabaseTest, RefusesAFileContractedByANewerVersion) {
  Schema newer = kNotes;
  newer.migrations.push_back("CREATE TABLE texts (text TEXT)");
  newer.migrations.push_back("DROP TABLE notes");
  newer.contracted = 3;
  ASSERT_TRUE(Database::Open(path_, newer, {}).ok());
  const absl::Status status = FailToOpen(path_);
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("a newer version of this program wrote it (schema 3, which needs 3; this "
                        "one knows 1)"));
}

TEST_F(DatabaseTest, NoticesItsFileMovedReplacedOrDeleted) {
  const std::unique_ptr<Database> database = OpenNotes();
  EXPECT_FALSE(database->Moved());
  fs::rename(path_, path_ + ".moved");
  EXPECT_TRUE(database->Moved());
  WriteFile(path_, "another");
  EXPECT_TRUE(database->Moved());
  fs::rename(path_ + ".moved", path_);
  EXPECT_FALSE(database->Moved());
  fs::remove(path_);
  EXPECT_TRUE(database->Moved());
}

TEST_F(DatabaseTest, KeepsTheLogOfAnEarlierIncident) {
  const std::string aside = path_ + "-wal.aside";
  WriteFile(aside, "earlier");
  const std::unique_ptr<Database> database = OpenNotes();
  ASSERT_TRUE(AddNote(*database, "late").ok());
  fs::rename(path_, path_ + ".moved");
  EXPECT_EQ(database->PutLogAside(), aside + "2");
  EXPECT_EQ(database->PutLogAside(), aside + "2");
  EXPECT_EQ(ReadFile(aside), "earlier");
  EXPECT_THAT(ReadFile(aside + "2"), HasSubstr("late"));
}

TEST_F(DatabaseTest, SavepointIsUndoneAlone) {
  const std::unique_ptr<Database> database = OpenNotes();
  absl::StatusOr<Transaction> transaction = Transaction::Begin(*database);
  ASSERT_TRUE(transaction.ok());
  {
    absl::StatusOr<Savepoint> outer = Savepoint::Begin(*database);
    ASSERT_TRUE(outer.ok());
    ASSERT_TRUE(AddNote(*database, "kept").ok());
    {
      const absl::StatusOr<Savepoint> inner = Savepoint::Begin(*database);
      ASSERT_TRUE(inner.ok());
      ASSERT_TRUE(AddNote(*database, "undone").ok());
    }
    ASSERT_TRUE(outer->Keep().ok());
  }
  ASSERT_TRUE(transaction->Commit().ok());
  EXPECT_THAT(Notes(*database), ElementsAre("kept"));
}

TEST_F(DatabaseTest, SavepointIsUnavailableWithoutItsTransaction) {
  const std::unique_ptr<Database> database = OpenNotes();
  EXPECT_TRUE(absl::IsUnavailable(Savepoint::Begin(*database).status()));
  const absl::StatusOr<Transaction> transaction = Transaction::Begin(*database);
  ASSERT_TRUE(transaction.ok());
  absl::StatusOr<Savepoint> savepoint = Savepoint::Begin(*database);
  ASSERT_TRUE(savepoint.ok());
  // As SQLite itself does after some errors.
  ASSERT_TRUE(database->Run("ROLLBACK").ok());
  const absl::Status kept = savepoint->Keep();
  EXPECT_TRUE(absl::IsUnavailable(kept)) << kept;
}

}  // namespace
}  // namespace sqlite
