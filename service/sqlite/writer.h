#ifndef SERVICE_SQLITE_WRITER_H_
#define SERVICE_SQLITE_WRITER_H_

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/sqlite/database.h"

namespace sqlite {

// Group commit: one thread writes to the database, and writes of many threads share a transaction.
//
// The problem: a commit waits for the disk. One commit for each piece of work makes a server as
// slow as its disk; work that arrives during one commit can share the next.
//
// Guarantees: each piece of work is stored whole or not at all, whatever happens to the others in
// its commit. Work begins in the order in which it arrived, and waits for no others to share its
// commit.
//
// Errors of work, in addition to its own; after these, nothing was stored:
//   DEADLINE_EXCEEDED    its deadline passed before it began
//   RESOURCE_EXHAUSTED   the oldest work has waited longer than its deadline or Bounds::wait allows
//   UNAVAILABLE          the database is busy or full
//   FAILED_PRECONDITION  the writer is closed, or the database file was moved
// After this one, it may or may not be stored:
//   UNKNOWN              the commit failed, or the deadline passed during it
//
// Threads: all methods may be called from any thread, but not from within work.
class Writer {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // Reads and writes; its writes are rolled back when it returns an error. Runs on the writer's
  // thread, perhaps after Run() has returned, so it owns all that it uses.
  using Work = std::function<absl::Status(Database&)>;

  struct Bounds {
    // Of one commit, so that no work waits long for the work before it.
    std::size_t batch = 512;
    std::chrono::milliseconds batch_time{20};
    // The queue is bounded by time: when its oldest work has waited this long, new work is refused.
    std::chrono::milliseconds wait{2000};
  };

  // Requires: `database` is not read-only. Throws std::system_error when no thread can be created.
  explicit Writer(std::unique_ptr<Database> database);
  Writer(std::unique_ptr<Database> database, const Bounds& bounds);
  // Like Close(), without a limit.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Returns when `work` is committed, has failed, or `deadline` has passed.
  absl::Status Run(TimePoint deadline, Work work);

  // The same for work with a result.
  template <typename Result>
  absl::StatusOr<Result> Run(TimePoint deadline,
                             std::function<absl::StatusOr<Result>(Database&)> work) {
    auto result = std::make_shared<absl::StatusOr<Result>>(absl::UnknownError("it has not run"));
    absl::Status status = Run(deadline, Work([result, work = std::move(work)](Database& database) {
                                *result = work(database);
                                return result->status();
                              }));
    // After an error, the writer's thread may still be using `result`.
    if (!status.ok()) return status;
    return *std::move(result);
  }

  // Refuses new work, commits what waits, moves the write-ahead log into the file, closes the
  // database. DEADLINE_EXCEEDED: a commit is still under way, and the writer must not be destroyed;
  // work that had not begun is not stored. Any other error is Database::Checkpoint()'s, and the
  // database is closed. A second call waits for the first and returns the same.
  absl::Status Close(TimePoint deadline);

  // Work that waits. For tests.
  std::size_t waiting() const;
  // Commits attempted.
  std::size_t commits() const;

 private:
  struct Item;

  using Items = std::vector<std::shared_ptr<Item>>;

  void Loop();
  // Waits for work. False: there is none, and none will come.
  bool Await();
  // Commits what waits, in one transaction. Does nothing while another process writes.
  void WriteBatch();
  // Runs work that waits, until a batch is full or the transaction is lost.
  Items RunWork(const Transaction& transaction);
  // Null: nothing waits.
  std::shared_ptr<Item> Take();
  // Delivers results. `committed`: the result of all work that succeeded.
  void Deliver(const Items& batch, const absl::Status& committed);
  // Ends all work that waits with `status`.
  void Refuse(const absl::Status& status);
  // The error of work that was not begun in time. Requires: mutex_ is held.
  absl::Status TooLate() const;
  void SetLocked(bool locked);
  absl::Status CloseDatabase();

  const Bounds bounds_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<std::shared_ptr<Item>> queue_;  // Guarded by mutex_.
  bool closing_ = false;                    // Guarded by mutex_.
  bool locked_ = false;                     // Guarded by mutex_. Another process writes.
  bool ended_ = false;                      // Guarded by mutex_.
  absl::Status closed_;                     // Guarded by mutex_. Set when ended_.
  std::size_t commits_ = 0;                 // Guarded by mutex_.
  std::unique_ptr<Database> database_;      // The thread's.
  std::thread thread_;
};

}  // namespace sqlite

#endif  // SERVICE_SQLITE_WRITER_H_
