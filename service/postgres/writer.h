#ifndef SERVICE_POSTGRES_WRITER_H_
#define SERVICE_POSTGRES_WRITER_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/postgres/abandonable_thread.h"
#include "service/postgres/connection.h"
#include "service/postgres/pool.h"
#include "service/postgres/statement.h"

namespace postgres {

// Commits together what many threads want to write.
//
// The problem: where transactions must be committed one after the other, each waits for the
// server's disk alone. What waits while one commit is under way can share the next.
//
// Guarantees: each piece of work is stored whole or not at all, whatever the others in its commit
// do: when the server refuses one, each of them is tried alone. Work begins in the order in which
// it came. Nobody waits longer than one commit for company.
//
// Errors of work, beside those of Pool::Commit(); after these, nothing was stored:
//   DEADLINE_EXCEEDED    its deadline came before it had begun
//   RESOURCE_EXHAUSTED   others wait already for longer than Bounds::wait
//   FAILED_PRECONDITION  the writer was closed
// and IsOutcomeOpen() is also true when the deadline came during the commit.
//
// Threads: all methods may be called from any thread.
class Writer {
 public:
  struct Bounds {
    // Of one commit, so that nobody waits long for those in front.
    std::size_t batch = 128;
    std::chrono::milliseconds commit_time{10'000};
    // Capacity is a time: when the first in line has waited this long, no more is taken.
    std::chrono::milliseconds wait{2000};
  };

  using Statements = std::vector<Statement>;

  // `first` and `last`: what each commit begins and ends with.
  Writer(std::shared_ptr<Pool> pool, Statements first, Statements last);
  Writer(std::shared_ptr<Pool> pool, Statements first, Statements last, const Bounds& bounds);

  // Closes, and waits for nobody.
  ~Writer();
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Returns what each of the statements has returned.
  absl::StatusOr<std::vector<Rows>> Run(Statements statements, TimePoint deadline);

  // Takes no more work, and commits what waits. DEADLINE_EXCEEDED: not all of it; what has not begun
  // by then is refused. A second call waits for the first.
  absl::Status Close(TimePoint deadline);

  // How many commits have begun, and how much work waits for the next. For tests and figures.
  std::size_t commits() const;
  std::size_t waiting() const;

 private:
  struct Work;
  struct State;

  const std::shared_ptr<State> state_;
  const AbandonableThread thread_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_WRITER_H_
