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

// The thread that writes to a database: commits together what many threads want to write.
//
// The problem: a commit waits for the disk. One commit for each piece of work makes a server as
// slow as its disk; what waits while one commit is under way can share the next.
//
// Guarantees: each piece of work is stored whole or not at all, whatever the others in its commit
// do. Work begins in the order in which it came. Nobody waits longer than one commit for company.
//
// Errors of work, beside its own; after these, nothing was stored:
//   DEADLINE_EXCEEDED    its deadline came before it had begun
//   RESOURCE_EXHAUSTED   others wait already for longer than its deadline, or Bounds::wait, allows
//   UNAVAILABLE          the database is busy or full
//   FAILED_PRECONDITION  the writer was closed, or the database file was moved away
// and after this one, it may or may not be stored:
//   UNKNOWN              the commit has begun and failed, or its deadline came during it
//
// Threads: all methods may be called from any thread, but not from work.
class Writer {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // Reads and writes; what it has written is rolled back when it returns an error. Runs on the
  // writer's thread, perhaps after its caller has gone: it owns all that it uses.
  using Work = std::function<absl::Status(Database&)>;

  struct Bounds {
    // Of one commit, so that nobody waits long for those in front.
    std::size_t batch = 512;
    std::chrono::milliseconds batch_time{20};
    // Capacity is a time: when the first in line has waited this long, no more is taken.
    std::chrono::milliseconds wait{2000};
  };

  // `database` is not for reading only. Throws std::system_error when a thread cannot be created.
  explicit Writer(std::unique_ptr<Database> database);
  Writer(std::unique_ptr<Database> database, const Bounds& bounds);
  // Like Close(), without a limit.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Returns when `work` was committed, has failed, or `deadline` has come.
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
    // When it has not ended, the writer's thread may be using `result` now.
    if (!status.ok()) return status;
    return *std::move(result);
  }

  // Takes no more work, commits what waits, moves the write-ahead log into the file, closes the
  // database. DEADLINE_EXCEEDED: a commit is still under way; then the writer must not be
  // destroyed. What has not begun by then is not stored. Another error: it is closed, but see
  // Database::Checkpoint(). A second call waits for the first and returns the same.
  absl::Status Close(TimePoint deadline);

  // How much work waits, and how many commits were tried. For tests and figures.
  std::size_t waiting() const;
  std::size_t commits() const;

 private:
  struct Item;

  using Items = std::vector<std::shared_ptr<Item>>;

  void Loop();
  // Waits for work. False: there is none, and none will come.
  bool Await();
  // Makes one commit of what waits; nothing while another process writes.
  void WriteBatch();
  // Runs what waits, within the bounds of a batch or until the transaction is lost.
  Items RunWork(const Transaction& transaction);
  // Null: nothing waits.
  std::shared_ptr<Item> Take();
  // Ends work that was run. `committed` is that of all whose work has succeeded.
  void Deliver(const Items& batch, const absl::Status& committed);
  // Ends all that waits.
  void Refuse(const absl::Status& status);
  // What is told to whoever has waited in vain. Requires: mutex_ is held.
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
