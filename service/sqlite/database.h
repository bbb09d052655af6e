#ifndef SERVICE_SQLITE_DATABASE_H_
#define SERVICE_SQLITE_DATABASE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/sqlite/turnstile.h"

struct sqlite3;
struct sqlite3_stmt;

namespace sqlite {

// What a database file must look like, and how to bring it there.
struct Schema {
  // Stored in the file's header; identifies the application. Not 0; never changed.
  std::int32_t application_id = 0;
  // migrations[n] is the SQL that upgrades a file from version n to n + 1. Append only; never edit.
  //
  // During a rolling deploy, and after its roll-back, older programs use the file beside newer
  // ones. So expand first: add tables, and columns that have a default. Contract in a later
  // release, when no program uses any more what is taken away.
  std::vector<std::string> migrations;
  // The number of the last migration that takes something away (its index + 1): programs that know
  // fewer migrations must not use the file any more. 0: all of them only add.
  std::int32_t contracted = 0;
};

// Bytes that are not text.
struct Blob {
  std::string bytes;
};

class Database;

// One execution of one SQL statement.
//
//   sqlite::Statement rows = database.Query("SELECT name FROM t WHERE id > ?", id);
//   while (rows.Next()) names.push_back(rows.String(0));
//   if (!rows.status().ok()) return rows.status();
//
// Guarantees: ends when it is destroyed. A read that never ends would pin the write-ahead log.
// Threads: those of its Database. Lifetime: shorter than its Database's.
class Statement {
 public:
  Statement(Statement&&) = default;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Advances to the next row. False: there is none, or it failed; status() says which.
  bool Next();
  const absl::Status& status() const { return status_; }

  // The value in `column` of the current row, counted from 0. Requires: Next() returned true.
  std::int64_t Int64(int column) const;
  // For text and blobs.
  std::string String(int column) const;

 private:
  friend class Database;
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  using Prepared = std::unique_ptr<sqlite3_stmt, Finalize>;

  Statement(Database& database, const std::string& sql);

  void Bind(int index, std::int64_t value);
  void Bind(int index, const std::string& value);
  void Bind(int index, const Blob& value);
  void CheckBound(int values);
  void Check(int code);

  Database* database_;
  std::string sql_;
  Prepared prepared_;
  absl::Status status_;
};

// One connection to a database file.
//
// Guarantees: what was committed survives kill -9 and power loss (write-ahead log,
// synchronous=FULL). Readers never wait for a writer. Each SQL text is prepared once.
//
// Errors of every method: UNAVAILABLE (busy, full, or the disk failed; nothing was stored),
// DEADLINE_EXCEEDED (see set_deadline()), DATA_LOSS (the file is damaged), INTERNAL (the SQL is
// wrong, or breaks a constraint).
//
// Threads: one at a time; see connections.h.
class Database {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  struct Options {
    // How long to wait for other processes that write, unless a deadline comes first. Longer than a
    // busy disk takes for one commit, which can be seconds.
    std::chrono::milliseconds busy_timeout{5000};
  };

  // Opens `path`, creates the file if it does not exist, and migrates it to the current schema. A
  // file that belongs to another application is left unchanged. While it is open, PATH-wal,
  // PATH-shm and PATH-turn (a Turnstile) lie beside it. A new file is readable by its owner only
  // (0600), and so are the files with data beside it.
  //
  // Every error is one sentence with the path and what to do about it. NOT_FOUND: the directory
  // does not exist. PERMISSION_DENIED: not writable. DATA_LOSS: not a database, or damaged.
  // FAILED_PRECONDITION: another application's database, one that a newer version has contracted
  // (see Schema), a URI ("file:..."), or not a regular file.
  // UNAVAILABLE: see above.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path,
                                                        const Schema& schema,
                                                        const Options& options);

  // Another connection, for reading only, to a file that Open() has opened.
  static absl::StatusOr<std::unique_ptr<Database>> OpenForReading(const std::string& path,
                                                                  const Options& options);

  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  // Begins a statement whose `?` are `values`: std::int64_t, std::string or Blob.
  // Whatever is wrong with it is told by its first Next().
  template <typename... Values>
  Statement Query(const std::string& sql, const Values&... values) {
    Statement statement(*this, sql);
    int index = 0;
    (statement.Bind(++index, values), ...);
    statement.CheckBound(index);
    return statement;
  }

  // Runs a statement that returns no rows.
  template <typename... Values>
  absl::Status Run(const std::string& sql, const Values&... values) {
    Statement statement = Query(sql, values...);
    while (statement.Next()) {
    }
    return statement.status();
  }

  // Runs several statements, separated by semicolons, without `?`.
  absl::Status RunScript(const std::string& sql);

  // How many rows the last INSERT, UPDATE or DELETE changed.
  std::int64_t Changes() const;

  // From now on, statements of a connection for reading end at `deadline` with DEADLINE_EXCEEDED.
  void set_deadline(TimePoint deadline) { deadline_ = deadline; }

  // Whether another file, or none, is now where this one was opened: what is written from then on
  // is lost when the process ends. Asks the file system.
  bool Moved() const;

  // After that: renames the write-ahead log that belongs to this file, so that SQLite does not take
  // it for that of another file which lies there now or later. Says where it is; what was committed
  // since the last checkpoint is in it. Calling it again changes nothing.
  std::string PutLogAside() const;

  const std::string& path() const { return path_; }

  // Whether what failed last has failed because somebody else writes.
  bool busy() const;

  // Moves the write-ahead log into the file, as far as no reader needs it; does not wait for
  // anybody.
  absl::Status Checkpoint();

 private:
  friend class Statement;
  friend class Transaction;
  friend class Savepoint;

  struct Header {
    std::int64_t application_id = 0;
    // How many migrations the file has.
    std::int64_t version = 0;
    // See Schema. Stored in the upper half of SQLite's user_version.
    std::int64_t contracted = 0;
    bool empty = false;
  };

  explicit Database(const Options& options) : options_(options) {}
  absl::Status Connect(const std::string& path, int flags);
  absl::Status Prepare(const std::string& path, const Schema& schema);
  absl::Status SwitchToWriteAheadLog(const std::string& path);
  absl::Status Migrate(const std::string& path, const Schema& schema);
  absl::StatusOr<Header> ReadHeader();
  absl::Status ToStatus(int code);
  absl::Status ToOpenStatus(const std::string& path, const absl::Status& status) const;
  absl::Status CheckVersion(const std::string& path, const Header& header,
                            const Schema& schema) const;
  absl::Status BeginImmediate(TimePoint give_up);
  absl::Status Commit();
  bool InTransaction() const;
  // That of work whose transaction is gone.
  absl::Status RolledBack() const;

  static int OnBusy(void* database, int attempt);
  static int OnProgress(void* database);

  const Options options_;
  std::string path_;
  std::uint64_t log_inode_ = 0;
  sqlite3* handle_ = nullptr;
  std::unique_ptr<Turnstile> turnstile_;  // Null when this connection only reads.
  bool beginning_ = false;
  TimePoint deadline_ = TimePoint::max();
  // When to stop waiting for others; set while waiting.
  TimePoint give_up_{};
  int last_error_ = 0;
  // Prepared statements that are not running, by their SQL.
  std::unordered_map<std::string, Statement::Prepared> prepared_;
};

// Everything between Begin() and Commit(), or nothing of it.
//
// Guarantees: holds the right to write from the beginning, so it never fails because of what others
// wrote meanwhile. Rolled back when destroyed without a commit.
class Transaction {
 public:
  // Waits for other writers in turn, at most until `give_up` (unset: for the busy timeout); then
  // UNAVAILABLE. Requires: the connection is not for reading only.
  static absl::StatusOr<Transaction> Begin(Database& database);
  static absl::StatusOr<Transaction> Begin(Database& database, Database::TimePoint give_up);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  // Not OK: nothing was stored, unless it is UNKNOWN: then the disk has failed in the middle, and
  // what is stored shows when the database is opened the next time.
  absl::Status Commit();

  // False: an error has rolled it back, all of it.
  bool active() const { return database_->InTransaction(); }

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;  // Null once moved from.
};

// A part of a transaction that is undone alone.
//
// Guarantees: rolled back when destroyed without Keep().
// Errors: UNAVAILABLE when an error has rolled the whole transaction back, or there is none.
class Savepoint {
 public:
  static absl::StatusOr<Savepoint> Begin(Database& database);
  Savepoint(Savepoint&& other) noexcept;
  Savepoint& operator=(Savepoint&&) = delete;
  ~Savepoint();

  // What was written since Begin() is now the transaction's.
  absl::Status Keep();

 private:
  explicit Savepoint(Database& database) : database_(&database) {}
  Database* database_;  // Null once moved from, or kept.
};

}  // namespace sqlite

#endif  // SERVICE_SQLITE_DATABASE_H_
