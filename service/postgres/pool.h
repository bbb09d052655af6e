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

// A process's connections to one database: a bounded number, opened on demand.
//
// The problem: a connection serves one thread at a time, a restarted server ends all of them at
// once, and callers must not queue up for a server that does not come back.
//
// Guarantees: while the server cannot be reached, a call fails at once with the reason of the last
// attempt to connect; but for one, which begins the next attempt and waits for it. A new connection
// is attempted at growing intervals of at most kMaxBackoff after the end of the last attempt, so
// calls may still fail that long after the server is back, and longer if an attempt hangs just then.
// A call waits for a connection only while all are in use, or while those that are being opened are
// the first, or the first ones after a loss.
//
// Threads: all methods may be called from any thread and may block until their deadline.
class Pool {
 public:
  static constexpr std::chrono::milliseconds kMinBackoff{50};
  static constexpr std::chrono::milliseconds kMaxBackoff{2000};

  struct Options {
    std::size_t connections = 8;
    // The limit for one attempt to connect.
    std::chrono::milliseconds connect_timeout{5000};
  };

  // Opens the first connection. Every error is one sentence that names the server and what to do.
  // PERMISSION_DENIED: wrong user or password. NOT_FOUND: there is no such database.
  // FAILED_PRECONDITION: see Connection::Open(). UNAVAILABLE: the server cannot be reached, or
  // has not answered by the deadline.
  static absl::StatusOr<std::unique_ptr<Pool>> Open(const Url& url, const Options& options,
                                                    TimePoint deadline);

  // Closes without waiting.
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // As Connection's, on a free connection. UNAVAILABLE: no connection can be opened, or none was by
  // the deadline. Also when the password was replaced, or the database renamed or dropped, since the
  // pool was opened: callers would take PERMISSION_DENIED and NOT_FOUND for an answer about what
  // they asked for, which is final. DEADLINE_EXCEEDED: also when others had all connections until
  // then. FAILED_PRECONDITION: the pool is closed.
  absl::StatusOr<Rows> Query(const Statement& statement, TimePoint deadline);
  absl::StatusOr<std::vector<Rows>> Commit(absl::Span<const Statement> statements,
                                           TimePoint deadline);

  // Refuses new calls and waits for those that run. Shortly before the deadline, what still runs is
  // cancelled or, if it is a transaction, given up, and the result is DEADLINE_EXCEEDED. What only
  // connects is given up. No thread of the pool is left, so that none uses libpq and OpenSSL while
  // the process exits; one that still asks for the server's address is the exception, and
  // DEADLINE_EXCEEDED says so. A second call waits for the first and returns OK.
  absl::Status Close(TimePoint deadline);

 private:
  struct State;
  class Loan;

  Pool(const Url& url, const Options& options);
  absl::StatusOr<Loan> Borrow(TimePoint deadline);

  // Shared with the threads that open connections.
  const std::shared_ptr<State> state_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_POOL_H_
