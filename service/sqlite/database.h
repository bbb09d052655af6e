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

// What a file must look like, and how it gets there.
struct Schema {
  // Stands in the file's header and says whose file it is. Not 0; never changed.
  std::int32_t application_id = 0;
  // migrations[n] is the SQL that makes version n + 1 of a file out of version n.
  // Appended to, never edited.
  std::vector<std::string> migrations;
};

// Bytes that are no text.
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
// Guarantees: ends with its life. A read that is not at its end would pin the
// write-ahead log.
// Threads: those of its Database. Lifetime: shorter than its Database's.
class Statement {
 public:
  Statement(Statement&&) = default;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  // Goes to the next row. False: there is none, or it failed; status() tells.
  bool Next();
  const absl::Status& status() const { return status_; }

  // Column `column`, counted from 0, of the row. Requires: Next() returned true.
  std::int64_t Int64(int column) const;
  // Text and blobs alike.
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
// synchronous=FULL). Readers never wait for a writer. Each SQL text is prepared
// once.
//
// Errors of every method: UNAVAILABLE (busy, full, or the disk failed; nothing was
// stored), DATA_LOSS (the file is damaged), INTERNAL (the SQL is wrong, or breaks
// a constraint).
//
// Threads: one at a time; see connections.h.
class Database {
 public:
  struct Options {
    // How long to wait for other processes that write. Longer than a busy disk takes
    // for one commit, which can be seconds.
    std::chrono::milliseconds busy_timeout{5000};
  };

  // Opens `path`, creates the file when there is none, and brings it up to date.
  // A file that belongs to somebody else is left as it is. Beside it lie PATH-wal and
  // PATH-shm while it is open, and PATH-turn, a Turnstile. A file that it creates is for its
  // owner only (0600), and so are those that hold data beside it.
  //
  // Every error is one sentence with the path and what to do about it.
  // NOT_FOUND: the directory does not exist. PERMISSION_DENIED: may not be written.
  // DATA_LOSS: no database, or damaged. FAILED_PRECONDITION: another application's
  // database, a newer version's, or no regular file. UNAVAILABLE: see above.
  static absl::StatusOr<std::unique_ptr<Database>> Open(const std::string& path,
                                                        const Schema& schema,
                                                        const Options& options);

  // One more connection to a file that Open() has opened, which only reads.
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

  // Runs several statements, separated by semicolons, that have no `?`.
  absl::Status RunScript(const std::string& sql);

  // How many rows the last INSERT, UPDATE or DELETE changed.
  std::int64_t Changes() const;

  // Moves what the write-ahead log holds into the file, as far as no reader needs
  // it; does not wait for anybody.
  absl::Status Checkpoint();

 private:
  friend class Statement;
  friend class Transaction;

  struct Header {
    std::int64_t application_id = 0;
    std::int64_t version = 0;
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
  absl::Status BeginImmediate();
  bool InTransaction() const;

  static int OnBusy(void* database, int attempt);

  const Options options_;
  sqlite3* handle_ = nullptr;
  std::unique_ptr<Turnstile> turnstile_;  // Null when this connection only reads.
  bool beginning_ = false;
  // When to stop waiting for others; set while somebody waits.
  std::chrono::steady_clock::time_point give_up_{};
  int last_error_ = 0;
  // Prepared and not running, by their SQL.
  std::unordered_map<std::string, Statement::Prepared> prepared_;
};

// Everything between Begin() and Commit(), or nothing of it.
//
// Guarantees: holds the right to write from its beginning, so it never fails for
// what others wrote meanwhile. Rolled back at the end of its life unless committed.
class Transaction {
 public:
  // Waits for other writers, each in turn, at most the busy timeout; then
  // UNAVAILABLE. Requires: no connection that only reads.
  static absl::StatusOr<Transaction> Begin(Database& database);
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();

  // Not OK: nothing was stored.
  absl::Status Commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;  // Null once moved from.
};

}  // namespace sqlite

#endif  // SERVICE_SQLITE_DATABASE_H_
