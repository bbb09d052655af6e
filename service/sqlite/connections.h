#ifndef SERVICE_SQLITE_CONNECTIONS_H_
#define SERVICE_SQLITE_CONNECTIONS_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/sqlite/database.h"
#include "service/sqlite/writer.h"

namespace sqlite {

// All connections of one process to one database file: the writer, and several readers that run in
// parallel to it and never wait for it.
//
// The problem: a connection serves one thread at a time, and it must be closed while a handler that
// hangs may still be about to use it.
//
// Threads: all methods may be called from any thread, and may block until their deadline.
class Connections {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

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
    Loan(Connections& owner, std::unique_ptr<Database> database);

    Connections& owner_;
    std::unique_ptr<Database> database_;
  };

  // Errors: those of Database::Open().
  static absl::StatusOr<std::unique_ptr<Connections>> Open(const std::string& path,
                                                           const Schema& schema,
                                                           const Options& options);
  ~Connections();
  Connections(const Connections&) = delete;
  Connections& operator=(const Connections&) = delete;

  // A connection that only reads, and whose statements end at `deadline`; waits for other readers
  // when all are on loan. DEADLINE_EXCEEDED: none came back in time. FAILED_PRECONDITION: closed.
  absl::StatusOr<Loan> Reader(TimePoint deadline);

  // Runs `work` as a part of a commit. See Writer::Run().
  template <typename Result>
  absl::StatusOr<Result> Write(TimePoint deadline,
                               std::function<absl::StatusOr<Result>(Database&)> work) {
    return writer_->Run<Result>(deadline, std::move(work));
  }
  absl::Status Write(TimePoint deadline, Writer::Work work) {
    return writer_->Run(deadline, std::move(work));
  }

  // The writer's.
  std::int64_t commits() const { return static_cast<std::int64_t>(writer_->commits()); }

  // Lends nothing more, waits for every loan to end, and closes the writer: see Writer::Close().
  // DEADLINE_EXCEEDED: something still runs; then nothing of this may be destroyed. A second call
  // waits for the first.
  absl::Status Close(TimePoint deadline);

 private:
  Connections() = default;
  void GiveBack(std::unique_ptr<Database> database);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<Database>> readers_;  // Guarded by mutex_. Those not on loan.
  std::size_t lent_ = 0;                            // Guarded by mutex_.
  bool closing_ = false;                            // Guarded by mutex_.
  std::unique_ptr<Writer> writer_;                  // Null only while opening.
};

}  // namespace sqlite

#endif  // SERVICE_SQLITE_CONNECTIONS_H_
