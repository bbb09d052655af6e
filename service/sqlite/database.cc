#include "service/sqlite/database.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace sqlite {
namespace {

namespace fs = std::filesystem;

absl::StatusCode CodeFor(int extended) {
  switch (extended & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return absl::StatusCode::kDataLoss;
    case SQLITE_IOERR:
      return extended == SQLITE_IOERR_CORRUPTFS ? absl::StatusCode::kDataLoss
                                                : absl::StatusCode::kUnavailable;
    case SQLITE_INTERRUPT:
      return absl::StatusCode::kDeadlineExceeded;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_PROTOCOL:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
      return absl::StatusCode::kUnavailable;
    default:
      return absl::StatusCode::kInternal;
  }
}

// How many steps of SQLite's machine lie between two looks at the clock: some microseconds' worth.
constexpr int kStepsBetweenLooks = 1000;

// SQLite's user_version holds two numbers.
constexpr std::int64_t kVersions = 0x10000;

bool MayNotWrite(int extended) {
  const int code = extended & 0xff;
  return code == SQLITE_CANTOPEN || code == SQLITE_READONLY || code == SQLITE_PERM;
}

// Makes the file, so that it is for its owner only: SQLite's mode would let everybody read
// it. Those that SQLite makes beside it have the mode of this one.
void MakeForOwner(const std::string& path) {
  std::error_code ignored;
  // An open file is not touched: closing it here would release this process's locks.
  if (fs::exists(path, ignored)) return;
  const int file = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (file >= 0) close(file);
}

// 0: there is no such file.
std::uint64_t InodeOf(const std::string& path) {
  struct stat status {};
  return stat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

// Why a path cannot be a database file, as far as it and the file system tell.
std::optional<absl::Status> WrongPlace(const std::string& path) {
  if (absl::StrContains(path, "://") || absl::StrContains(path, "password=")) {
    return absl::FailedPreconditionError(
        "cannot open a database: what is named is no file but looks like a server's address "
        "(it is not repeated here because of the password that it may have)");
  }
  // To SQLite, where it is built so, "file:" is a URI that names another file and may turn locks off
  // (https://sqlite.org/uri.html). The other is what people write who know it from elsewhere.
  if (absl::StartsWith(path, "file:") || absl::StartsWith(path, "sqlite:")) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot open database ", path, ": it is a URI; name the file itself, as in data.db, or ./",
        path, " if it is called so"));
  }
  std::error_code ignored;
  const fs::file_status status = fs::status(path, ignored);
  if (fs::exists(status) && !fs::is_regular_file(status)) {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot open database ", path, ": it is ",
                     fs::is_directory(status) ? "a directory; name a file in it"
                                              : "not a regular file; choose another path"));
  }
  if (!fs::exists(status) && fs::is_symlink(fs::symlink_status(path, ignored))) {
    return absl::NotFoundError(absl::StrCat("cannot open database ", path,
                                            ": it is a dangling symbolic link; create its target "
                                            "or choose another path"));
  }
  const fs::path directory = fs::path(path).parent_path();
  if (!directory.empty() && !fs::exists(directory, ignored) && !ignored) {
    return absl::NotFoundError(absl::StrCat("cannot open database ", path,
                                            ": there is no directory ", directory.string(),
                                            "; create it or choose another path"));
  }
  return std::nullopt;
}

}  // namespace

void Statement::Finalize::operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }

Statement::Statement(Database& database, const std::string& sql) : database_(&database), sql_(sql) {
  if (auto found = database.prepared_.extract(sql)) {
    prepared_ = std::move(found.mapped());
    return;
  }
  sqlite3_stmt* statement = nullptr;
  Check(sqlite3_prepare_v3(database.handle_, sql.c_str(), static_cast<int>(sql.size()),
                           SQLITE_PREPARE_PERSISTENT, &statement, /*pzTail=*/nullptr));
  prepared_.reset(statement);
}

Statement::~Statement() {
  if (prepared_ == nullptr) return;
  sqlite3_reset(prepared_.get());
  sqlite3_clear_bindings(prepared_.get());
  database_->prepared_.emplace(std::move(sql_), std::move(prepared_));
}

void Statement::Bind(int index, std::int64_t value) {
  if (status_.ok()) Check(sqlite3_bind_int64(prepared_.get(), index, value));
}

void Statement::Bind(int index, const std::string& value) {
  if (!status_.ok()) return;
  Check(sqlite3_bind_text64(prepared_.get(), index, value.data(), value.size(), SQLITE_TRANSIENT,
                            SQLITE_UTF8));
}

void Statement::Bind(int index, const Blob& value) {
  if (!status_.ok()) return;
  Check(sqlite3_bind_blob64(prepared_.get(), index, value.bytes.data(), value.bytes.size(),
                            SQLITE_TRANSIENT));
}

void Statement::CheckBound(int values) {
  if (!status_.ok()) return;
  const int wanted = sqlite3_bind_parameter_count(prepared_.get());
  if (wanted == values) return;
  status_ =
      absl::InternalError(absl::StrCat(values, " values for ", wanted, " parameters: ", sql_));
}

void Statement::Check(int code) {
  if (code != SQLITE_OK) status_ = database_->ToStatus(code);
}

bool Statement::Next() {
  if (!status_.ok()) return false;
  const int code = sqlite3_step(prepared_.get());
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) Check(code);
  sqlite3_reset(prepared_.get());
  return false;
}

std::int64_t Statement::Int64(int column) const {
  return sqlite3_column_int64(prepared_.get(), column);
}

std::string Statement::String(int column) const {
  const void* bytes = sqlite3_column_blob(prepared_.get(), column);
  if (bytes == nullptr) return "";
  return std::string(static_cast<const char*>(bytes),
                     static_cast<std::size_t>(sqlite3_column_bytes(prepared_.get(), column)));
}

absl::StatusOr<std::unique_ptr<Database>> Database::Open(const std::string& path,
                                                         const Schema& schema,
                                                         const Options& options) {
  std::unique_ptr<Database> database(new Database(options));
  absl::Status status = database->Connect(path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  if (status.ok()) status = database->Prepare(path, schema);
  if (!status.ok()) return database->ToOpenStatus(path, status);
  database->log_inode_ = InodeOf(path + "-wal");
  return database;
}

absl::StatusOr<std::unique_ptr<Database>> Database::OpenForReading(const std::string& path,
                                                                   const Options& options) {
  std::unique_ptr<Database> database(new Database(options));
  absl::Status status = database->Connect(path, SQLITE_OPEN_READWRITE);
  if (status.ok()) status = database->RunScript("PRAGMA query_only = ON");
  if (!status.ok()) return database->ToOpenStatus(path, status);
  sqlite3_progress_handler(database->handle_, kStepsBetweenLooks, &Database::OnProgress,
                           database.get());
  return database;
}

Database::~Database() {
  prepared_.clear();
  sqlite3_close_v2(handle_);
}

absl::Status Database::Connect(const std::string& path, int flags) {
  path_ = path;
  // SQLite takes these two names for databases that no second connection can see.
  if (path.empty() || path == ":memory:") {
    return absl::FailedPreconditionError(
        absl::StrCat("cannot open database '", path, "': it must be a file; give it a path"));
  }
  // SQLite opens anything, even a pipe, and writes its bytes there.
  if (std::optional<absl::Status> wrong_place = WrongPlace(path)) return *wrong_place;
  if ((flags & SQLITE_OPEN_CREATE) != 0) MakeForOwner(path);
  if (const int code =
          sqlite3_open_v2(path.c_str(), &handle_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
      code != SQLITE_OK) {
    return ToStatus(handle_ == nullptr ? code : sqlite3_extended_errcode(handle_));
  }
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_handler(handle_, &Database::OnBusy, this);
  // SQLite silently opens a file without write permission for reading.
  if (sqlite3_db_readonly(handle_, "main") == 1) {
    return absl::PermissionDeniedError(
        absl::StrCat("cannot open database ", path,
                     ": it is read-only; give this user write permission for it and its "
                     "directory"));
  }
  return absl::OkStatus();
}

absl::Status Database::Prepare(const std::string& path, const Schema& schema) {
  const absl::StatusOr<Header> header = ReadHeader();
  if (!header.ok()) return header.status();
  // Before anything is written: another application's file stays as it is.
  const bool fresh = header->empty && header->application_id == 0 && header->version == 0;
  if (!fresh && header->application_id != schema.application_id) {
    return absl::FailedPreconditionError(absl::StrCat(
        "cannot use database ", path, ": it belongs to another application; choose another path"));
  }
  if (absl::Status status = SwitchToWriteAheadLog(path); !status.ok()) return status;
  if (absl::Status status = RunScript("PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
      !status.ok()) {
    return status;
  }
  absl::StatusOr<std::unique_ptr<Turnstile>> turnstile = Turnstile::Open(path + "-turn");
  if (!turnstile.ok()) return turnstile.status();
  turnstile_ = *std::move(turnstile);
  return Migrate(path, schema);
}

absl::Status Database::SwitchToWriteAheadLog(const std::string& path) {
  // Two processes that create the file at once would each wait for the other: SQLite
  // tells one of them so without calling the busy handler.
  const auto give_up = std::chrono::steady_clock::now() + options_.busy_timeout;
  for (;;) {
    Statement mode = Query("PRAGMA journal_mode = WAL");
    if (mode.Next()) {
      if (mode.String(0) == "wal") return absl::OkStatus();
      return absl::FailedPreconditionError(
          absl::StrCat("cannot open database ", path,
                       ": its file system has no shared memory; choose a path on a local disk"));
    }
    if (!absl::IsUnavailable(mode.status()) || std::chrono::steady_clock::now() >= give_up) {
      return mode.status();
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

absl::Status Database::Migrate(const std::string& path, const Schema& schema) {
  const auto newest = static_cast<std::int64_t>(schema.migrations.size());
  absl::StatusOr<Header> header = ReadHeader();
  if (!header.ok()) return header.status();
  if (header->version >= newest) return CheckVersion(path, *header, schema);

  absl::StatusOr<Transaction> transaction = Transaction::Begin(*this);
  if (!transaction.ok()) return transaction.status();
  header = ReadHeader();  // Another process may have been faster.
  if (!header.ok()) return header.status();
  if (header->version >= newest) return CheckVersion(path, *header, schema);
  for (std::int64_t version = header->version; version < newest; ++version) {
    absl::Status status = RunScript(schema.migrations[static_cast<std::size_t>(version)]);
    if (!status.ok()) return status;
  }
  absl::Status status =
      RunScript(absl::StrCat("PRAGMA application_id = ", schema.application_id,
                             "; PRAGMA user_version = ", schema.contracted * kVersions + newest));
  if (!status.ok()) return status;
  return transaction->Commit();
}

absl::Status Database::CheckVersion(const std::string& path, const Header& header,
                                    const Schema& schema) const {
  const auto known = static_cast<std::int64_t>(schema.migrations.size());
  if (known >= header.contracted) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "cannot use database ", path, ": a newer version of this program wrote it (schema ",
      header.version, ", which needs ", header.contracted, "; this one knows ", known,
      "); run that version or choose another path"));
}

absl::StatusOr<Database::Header> Database::ReadHeader() {
  // In one snapshot: another process may be creating the tables now.
  const bool own_snapshot = !InTransaction();
  if (own_snapshot) {
    if (absl::Status status = RunScript("BEGIN"); !status.ok()) return status;
  }
  Header header;
  absl::Status status;
  {
    Statement application_id = Query("PRAGMA application_id");
    if (application_id.Next()) header.application_id = application_id.Int64(0);
    status.Update(application_id.status());
    Statement version = Query("PRAGMA user_version");
    if (version.Next()) {
      if (version.Int64(0) < 0) status.Update(absl::DataLossError("its version is negative"));
      header.version = version.Int64(0) % kVersions;
      header.contracted = version.Int64(0) / kVersions;
    }
    status.Update(version.status());
    Statement tables = Query("SELECT count(*) FROM sqlite_schema");
    if (tables.Next()) header.empty = tables.Int64(0) == 0;
    status.Update(tables.status());
  }
  if (own_snapshot && InTransaction()) status.Update(RunScript("ROLLBACK"));
  if (!status.ok()) return status;
  return header;
}

absl::Status Database::RunScript(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), /*callback=*/nullptr, nullptr, nullptr);
  return code == SQLITE_OK ? absl::OkStatus() : ToStatus(code);
}

std::int64_t Database::Changes() const { return sqlite3_changes64(handle_); }

absl::Status Database::Checkpoint() {
  const int code = sqlite3_wal_checkpoint_v2(handle_, /*zDb=*/nullptr, SQLITE_CHECKPOINT_PASSIVE,
                                             /*pnLog=*/nullptr, /*pnCkpt=*/nullptr);
  // Another process is doing it.
  if ((code & 0xff) == SQLITE_BUSY) return absl::OkStatus();
  return code == SQLITE_OK ? absl::OkStatus() : ToStatus(code);
}

absl::Status Database::ToStatus(int code) {
  last_error_ = code;
  const char* words = handle_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(handle_);
  return absl::Status(CodeFor(code), absl::StrCat("database: ", words, " (SQLite ", code, ")"));
}

absl::Status Database::ToOpenStatus(const std::string& path, const absl::Status& status) const {
  // These name the path already.
  if (absl::IsFailedPrecondition(status) || absl::IsPermissionDenied(status) ||
      absl::IsNotFound(status)) {
    return status;
  }
  const std::string what = absl::StrCat("cannot open database ", path, ": ");
  if (MayNotWrite(last_error_)) {
    const int error = sqlite3_system_errno(handle_);
    // SQLite's second attempt opens a missing file for reading.
    const bool telling = error != 0 && error != ENOENT;
    if (telling && error != EACCES && error != EPERM && error != EROFS) {
      return absl::UnavailableError(absl::StrCat(what, std::strerror(error)));
    }
    return absl::PermissionDeniedError(
        absl::StrCat(what, telling ? std::strerror(error) : "it cannot be written or created",
                     "; give this user write permission for it and its directory"));
  }
  const std::string words(status.message());
  if (absl::IsDataLoss(status)) {
    return absl::DataLossError(absl::StrCat(what, "it is damaged or not an SQLite database (",
                                            words,
                                            "); restore it from a backup or choose another path"));
  }
  if (absl::IsUnavailable(status)) {
    return absl::UnavailableError(absl::StrCat(
        what, words, "; check whether another process locks it and whether its disk is full"));
  }
  return absl::Status(status.code(), absl::StrCat(what, words));
}

std::string Database::PutLogAside() const {
  const std::string log = path_ + "-wal";
  std::string aside = log + ".aside";
  // Those of earlier incidents stay. Another process may have put this one aside.
  for (int n = 2; InodeOf(aside) != 0 && InodeOf(aside) != log_inode_; ++n) {
    aside = absl::StrCat(log, ".aside", n);
  }
  // Another process that opened the file after that has logs of its own.
  if (log_inode_ != 0 && InodeOf(log) == log_inode_) {
    std::error_code ignored;
    if (renameat2(AT_FDCWD, log.c_str(), AT_FDCWD, aside.c_str(), RENAME_NOREPLACE) != 0 &&
        errno == EINVAL) {
      fs::rename(log, aside, ignored);  // A file system that cannot do better.
    }
    fs::remove(path_ + "-shm", ignored);
  }
  return aside;
}

bool Database::busy() const { return (last_error_ & 0xff) == SQLITE_BUSY; }

absl::Status Database::RolledBack() const {
  return absl::UnavailableError(absl::StrCat(
      "database: nothing was stored, because of an error: ", sqlite3_errstr(last_error_),
      " (SQLite ", last_error_, ")"));
}

bool Database::InTransaction() const { return sqlite3_get_autocommit(handle_) == 0; }

absl::Status Database::BeginImmediate(TimePoint give_up) {
  const TimePoint now = std::chrono::steady_clock::now();
  give_up_ = give_up;
  beginning_ = true;
  // Half of the time: a process that is frozen in the turnstile must not block others forever.
  const bool entered = turnstile_->Enter(now + (give_up - now) / 2);
  absl::Status status = Run("BEGIN IMMEDIATE");
  if (entered) turnstile_->Leave();
  beginning_ = false;
  return status;
}

absl::Status Database::Commit() {
  absl::Status status = Run("COMMIT");
  // The commit's last page may be in the log, whole, though its fdatasync() has failed.
  if (!status.ok() && (last_error_ & 0xff) == SQLITE_IOERR) {
    return absl::UnknownError(
        absl::StrCat("the disk has failed during a commit; it may or may not be stored: ",
                     std::string(status.message())));
  }
  return status;
}

bool Database::Moved() const {
  int moved = 0;
  sqlite3_file_control(handle_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  return moved != 0;
}

// SQLite's own busy timeout sleeps longer and longer, up to 100 ms, while the
// database may have been free for long. This one looks every millisecond.
int Database::OnBusy(void* database, int attempt) {
  auto& self = *static_cast<Database*>(database);
  const TimePoint now = std::chrono::steady_clock::now();
  if (attempt == 0 && !self.beginning_) self.give_up_ = now + self.options_.busy_timeout;
  if (now >= std::min(self.give_up_, self.deadline_)) return 0;
  std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return 1;
}

int Database::OnProgress(void* database) {
  const auto& self = *static_cast<Database*>(database);
  return self.deadline_ != TimePoint::max() && std::chrono::steady_clock::now() >= self.deadline_;
}

absl::StatusOr<Transaction> Transaction::Begin(Database& database) {
  return Begin(database, std::chrono::steady_clock::now() + database.options_.busy_timeout);
}

absl::StatusOr<Transaction> Transaction::Begin(Database& database, Database::TimePoint give_up) {
  if (absl::Status status = database.BeginImmediate(give_up); !status.ok()) return status;
  return Transaction(database);
}

Transaction::Transaction(Transaction&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Transaction::~Transaction() {
  // Some errors have rolled it back already.
  if (database_ == nullptr || !database_->InTransaction()) return;
  database_->Run("ROLLBACK").IgnoreError();
}

absl::Status Transaction::Commit() { return database_->Commit(); }

absl::StatusOr<Savepoint> Savepoint::Begin(Database& database) {
  // Outside of a transaction it would be one of its own.
  if (!database.InTransaction()) return database.RolledBack();
  if (absl::Status status = database.Run("SAVEPOINT part"); !status.ok()) return status;
  return Savepoint(database);
}

Savepoint::Savepoint(Savepoint&& other) noexcept
    : database_(std::exchange(other.database_, nullptr)) {}

Savepoint::~Savepoint() {
  if (database_ == nullptr || !database_->InTransaction()) return;
  // Both address the innermost of that name.
  database_->Run("ROLLBACK TO part").IgnoreError();
  database_->Run("RELEASE part").IgnoreError();
}

absl::Status Savepoint::Keep() {
  Database& database = *std::exchange(database_, nullptr);
  return database.InTransaction() ? database.Run("RELEASE part") : database.RolledBack();
}

}  // namespace sqlite
