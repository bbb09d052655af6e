#ifndef SERVICE_SQLITE_CONNECTIONS_H_
#define SERVICE_SQLITE_CONNECTIONS_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/sqlite/database.h"

namespace sqlite {

// All connections of one process to one database file: one writer, and several readers that run in
// parallel to it.
//
// The problem: a connection serves one thread at a time, and it must be closed while a handler that
// hangs may still be about to use it.
//
// Threads: all methods may be called from any thread; Writer(), Reader() and Close() may block.
class Connections {
 public:
  struct Options {
    std::size_t readers = 4;
    Database::Options database{};
  };

  // A connection that belongs to the holder until the loan is destroyed. Lifetime: shorter than
  // that of the Connections.
  class Loan {
   public:
    Loan(Loan&& other) noexcept;
    Loan& operator=(Loan&&) = delete;
    ~Loan();

    Database& operator*() const { return *database_; }
    Database* operator->() const { return database_.get(); }

   private:
    friend class Connections;
    using Free = std::vector<std::unique_ptr<Database>>;
    Loan(Connections& owner, Free& home, std::unique_ptr<Database> database);

    Connections& owner_;
    Free& home_;
    std::unique_ptr<Database> database_;
  };

  // Errors: those of Database::Open().
  static absl::StatusOr<std::unique_ptr<Connections>> Open(const std::string& path,
                                                           const Schema& schema,
                                                           const Options& options);
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // The one connection that writes; waits until it is free. FAILED_PRECONDITION: closed.
  absl::StatusOr<Loan> Writer() { return Borrow(writer_); }

  // A connection that only reads; waits for other readers when all are on loan, never for the
  // writer. FAILED_PRECONDITION: closed.
  absl::StatusOr<Loan> Reader() { return Borrow(readers_); }

  // Lends nothing more, waits for every loan to end, moves the write-ahead log into the file, and
  // closes. Not OK: that move failed; what was committed is safe in the log. A second call waits
  // for the first and returns OK.
  absl::Status Close();

 private:
  Connections() = default;
  absl::StatusOr<Loan> Borrow(Loan::Free& from);
  void GiveBack(Loan::Free& to, std::unique_ptr<Database> database);

  std::mutex mutex_;
  std::condition_variable changed_;
  Loan::Free writer_;     // Guarded by mutex_. One, or none while it is lent.
  Loan::Free readers_;    // Guarded by mutex_.
  std::size_t lent_ = 0;  // Guarded by mutex_.
  bool closing_ = false;  // Guarded by mutex_.
  bool closed_ = false;   // Guarded by mutex_.
};

}  // namespace sqlite

#endif  // SERVICE_SQLITE_CONNECTIONS_H_
