#ifndef SERVICE_POSTGRES_POOL_H_
#define SERVICE_POSTGRES_POOL_H_

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "service/postgres/connection.h"
#include "service/postgres/statement.h"
#include "service/postgres/url.h"

namespace postgres {

// The connections of one process to one database: at most so many, made when they are needed.
//
// The problem: a connection serves one thread at a time, a server that is restarted takes all of
// them with it, and callers must not pile up behind one that does not come back.
//
// Guarantees: while the server is away, a call fails at once with the reason, and a new connection
// is tried at growing intervals, of kMaxBackoff at most: that is how long after the server has come
// back calls may still fail. A call waits for a connection only while others use them all, or while
// the first is made.
//
// Threads: all methods may be called from any thread and may block, until their deadline.
class Pool {
 public:
  static constexpr std::chrono::milliseconds kMinBackoff{50};
  static constexpr std::chrono::milliseconds kMaxBackoff{2000};

  struct Options {
    std::size_t connections = 8;
    // How long one attempt to connect may take.
    std::chrono::milliseconds connect_timeout{5000};
  };

  // Makes the first connection. Every error is one sentence with the server and what to do about
  // it. PERMISSION_DENIED: wrong user or password. NOT_FOUND: there is no such database.
  // FAILED_PRECONDITION: its encoding is not UTF8. UNAVAILABLE: the server is not there.
  static absl::StatusOr<std::unique_ptr<Pool>> Open(const Url& url, const Options& options,
                                                    TimePoint deadline);

  // Closes, and waits for nobody.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // These do what Connection's do, on a free connection. UNAVAILABLE: there is none to be had.
  // FAILED_PRECONDITION: closed.
  absl::StatusOr<Rows> Query(const Statement& statement, TimePoint deadline);
  absl::StatusOr<std::vector<Rows>> Commit(absl::Span<const Statement> statements,
                                           TimePoint deadline);

  // Lends nothing more and waits for what runs. A moment before the deadline, what still runs is
  // cancelled, which DEADLINE_EXCEEDED tells. A second call waits for the first, and returns OK.
  absl::Status Close(TimePoint deadline);

 private:
  struct State;
  class Loan;

  Pool(const Url& url, const Options& options);
  absl::StatusOr<Loan> Borrow(TimePoint deadline);

  // Shared with threads that connect, which nobody waits for.
  const std::shared_ptr<State> state_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_POOL_H_
