#ifndef SERVICE_POSTGRES_CONNECTION_H_
#define SERVICE_POSTGRES_CONNECTION_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "service/postgres/abandonable_thread.h"
#include "service/postgres/statement.h"
#include "service/postgres/url.h"

struct pg_conn;
struct pg_result;

namespace postgres {

using TimePoint = std::chrono::steady_clock::time_point;

// The rows that a statement returned.
class Rows {
 public:
  int size() const;
  // Columns count from 0. For int2, int4 and int8; 0 if it is null.
  std::int64_t Int64(int row, int column) const;
  // For text and bytea; empty if it is null.
  std::string String(int row, int column) const;

 private:
  friend class Connection;
  struct Clear {
    void operator()(pg_result* result) const;
  };

  std::unique_ptr<pg_result, Clear> result_;
};

// One connection to a PostgreSQL server.
//
// The problem: libpq waits for the network without a limit, and a transaction that waits for its
// client between two statements holds its locks for as long as that client is frozen. So nothing
// here waits for the socket without a deadline, and a transaction is sent as a whole, including its
// COMMIT, in one round trip.
//
// And a COMMIT that is cancelled while it waits for a standby (synchronous_standby_names) succeeds,
// with a warning: everybody then sees what no standby may have. So a transaction is never cancelled.
//
// Guarantees: a method returns by its deadline. Shortly before it, the server ends the statement
// itself (statement_timeout) or is asked to cancel it. When a stop is requested, a running statement
// is cancelled and its method returns within kCancelPatience. A transaction that does not end in time
// loses its connection instead: the server (14 or newer) ends it within a second or two, unless it
// waits for a standby; then it holds its locks and nobody sees it until the standby has it. Only
// Open() may take longer, while it resolves a host name: see AbandonableThread. The server ends the
// session, and frees its locks, within 20 seconds after the link has gone silent; not when this
// process is stopped (SIGSTOP), whose kernel still answers.
//
// Errors of every method: those of CodeForSqlState(); UNAVAILABLE when the connection is lost or a
// stop is requested, or when what was prepared earlier cannot be run any more, because a table was
// changed: then the connection is broken, and a new one can; DEADLINE_EXCEEDED. No message contains a secret
// from the URL.
//
// Threads: one at a time.
class Connection {
 public:
  static constexpr std::chrono::milliseconds kCancelPatience{250};

  // Tries the hosts that the URL names one after the other. One that does not answer is left after
  // two seconds, or sooner, so that each has its share of the time; one whose kernel answers, and
  // whose server is frozen, is not left.
  //
  // FAILED_PRECONDITION: the server is older than PostgreSQL 13, or the database's encoding is not
  // UTF8.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(const Url& url, std::stop_token stop,
                                                          TimePoint deadline);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Runs one statement outside a transaction. Requires: it may be repeated without harm, because
  // when the connection is lost nobody knows whether it was executed.
  absl::StatusOr<Rows> Query(const Statement& statement, TimePoint deadline);

  // Runs the statements in one transaction (READ COMMITTED), all or nothing, and returns the rows of
  // each.
  //
  // OK: also on the standbys that the server waits for. UNKNOWN: it was sent, and its end was not
  // seen (the connection broke, the deadline came); it may have been committed, or still be. After
  // every other error nothing was stored.
  absl::StatusOr<std::vector<Rows>> Commit(absl::Span<const Statement> statements,
                                           TimePoint deadline);

  // Runs several statements without parameters, separated by semicolons, in one transaction unless
  // they contain BEGIN or COMMIT.
  absl::Status RunScript(const std::string& sql, TimePoint deadline);

  // Waits for a NOTIFY on a channel that this connection listens to. False: there was none by the
  // deadline.
  absl::StatusOr<bool> AwaitNotification(TimePoint deadline);

  // Whether it can still be used: false once the server has closed it. Does not wait.
  bool IsUsable();

 private:
  struct Step;
  struct Exchange;
  enum class Woken { kReady, kDeadline, kStopped };

  Connection(const Url& url, std::stop_token stop);
  absl::Status Connect(TimePoint deadline);
  void AllowSilence();
  absl::Status Configure(TimePoint deadline);

  absl::Status Begin(TimePoint deadline);
  bool Send(const Statement& statement, Exchange& exchange, bool keep);
  bool SendTimeLimit(TimePoint deadline, Exchange& exchange);
  void Run(Exchange& exchange, TimePoint deadline);
  bool Read(Exchange& exchange);
  void NotePrepared(Exchange& exchange);
  std::optional<AbandonableThread> Cancel();
  void RollBack(TimePoint deadline);
  absl::Status FirstError(const Exchange& exchange) const;
  absl::Status NoAnswer(const Exchange& exchange) const;

  Woken Wait(short events, TimePoint deadline, bool heed_stop);
  std::string ErrorText() const;

  const Url url_;
  const std::stop_token stop_;
  const int stop_signal_;  // An eventfd.
  pg_conn* connection_ = nullptr;
  bool broken_ = false;
  // The names of the statements that the server has prepared, by their SQL text.
  std::unordered_map<std::string, std::string> prepared_;
  int names_ = 0;
  std::optional<std::stop_callback<std::function<void()>>> on_stop_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_CONNECTION_H_
