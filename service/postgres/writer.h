#ifndef SERVICE_POSTGRES_WRITER_H_
#define SERVICE_POSTGRES_WRITER_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/postgres/abandonable_thread.h"
#include "service/postgres/connection.h"
#include "service/postgres/pool.h"
#include "service/postgres/statement.h"

namespace postgres {

// Group commit: writes of many threads share a transaction.
//
// The problem: where transactions must be committed one after the other, each waits for the
// server's disk. Work that arrives during one commit can share the next.
//
// Guarantees: each piece of work is stored whole or not at all, whatever happens to the others in
// its commit: when the server refuses one, each of them is committed alone. Work begins in the order
// in which it arrived, and waits for no others to share its commit.
//
// Errors of work, in addition to those of Pool::Commit(); after these, nothing was stored:
//   DEADLINE_EXCEEDED    its deadline passed before it began
//   RESOURCE_EXHAUSTED   the oldest work has waited longer than Bounds::wait
//   FAILED_PRECONDITION  the writer is closed
// After this one, it may or may not be stored:
//   UNKNOWN              that of Pool::Commit(), or the deadline passed during the commit
//
// Threads: all methods may be called from any thread.
class Writer {
 public:
  struct Bounds {
    // Of one commit, so that no work waits long for the work before it.
    std::size_t batch = 128;
    std::chrono::milliseconds commit_time{10'000};
    // The queue is bounded by time: when its oldest work has waited this long, new work is refused.
    std::chrono::milliseconds wait{2000};
  };

  using Statements = std::vector<Statement>;
  // Called with the end of work whose caller has left, on the writer's thread, perhaps after the
  // writer was destroyed: so it owns what it uses. Must not block or throw.
  using Late = std::function<void(const absl::Status&)>;

  // `first` and `last`: the statements that each commit begins and ends with.
  Writer(std::shared_ptr<Pool> pool, Statements first, Statements last);
  Writer(std::shared_ptr<Pool> pool, Statements first, Statements last, const Bounds& bounds);

  // Closes without waiting.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Returns the rows of each statement. When the deadline passes during the commit, `late` learns
  // what has become of it, unless the process ends before; it is dropped in all other cases.
  absl::StatusOr<std::vector<Rows>> Run(Statements statements, TimePoint deadline,
                                        Late late = nullptr);

  // Refuses new work and commits what waits. DEADLINE_EXCEEDED: not all was committed; work that had
  // not begun is refused. A second call waits for the first.
  absl::Status Close(TimePoint deadline);

  // Commits begun, whatever became of them.
  std::size_t commits() const;
  // Work that waits for the next one. For tests.
  std::size_t waiting() const;

 private:
  struct Work;
  struct State;

  const std::shared_ptr<State> state_;
  const AbandonableThread thread_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_WRITER_H_
