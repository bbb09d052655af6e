#include "service/postgres/connection.h"

#include <libpq-fe.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "service/postgres/sqlstate.h"

namespace postgres {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long before the deadline a statement is ended, so that the server's answer to that is heard.
Clock::duration Margin(Clock::duration remaining) {
  return std::clamp<Clock::duration>(remaining / 5, Clock::duration::zero(), milliseconds(250));
}

// A peer that has vanished is noticed in seconds, and not after the kernel's two hours. What the URL
// says takes precedence.
constexpr std::pair<const char*, const char*> kDefaults[] = {
    {"keepalives_idle", "10"},
    {"keepalives_interval", "3"},
    {"keepalives_count", "3"},
    {"client_encoding", "UTF8"},
};
constexpr milliseconds kUserTimeout{5000};

// While it connects: a host that does not answer is left for the next one that the URL names, early
// enough to be answered by the last. libpq's connect_timeout does not do it: PQconnectPoll() has
// none. A connection is given up by the kernel when what was sent (also the SYN) is not acknowledged
// for as long as TCP_USER_TIMEOUT says.
constexpr milliseconds kLongestSilence{2000};
constexpr char kUserTimeoutName[] = "tcp_user_timeout";

milliseconds SilenceOfOneHost(const Url& url, TimePoint deadline) {
  std::int64_t hosts = 1;
  for (const auto& [name, value] : url.parameters()) {
    if (name != "host" && name != "hostaddr") continue;
    hosts = std::max<std::int64_t>(hosts, 1 + std::count(value.begin(), value.end(), ','));
  }
  const auto left = std::chrono::duration_cast<milliseconds>(deadline - Clock::now());
  return std::clamp(left / (hosts + 1), milliseconds(1), kLongestSilence);
}

bool Names(const Url& url, absl::string_view parameter) {
  return std::any_of(url.parameters().begin(), url.parameters().end(),
                     [&](const auto& each) { return each.first == parameter; });
}

// The same at the server's end. The defaults of many systems would leave a transaction whose client
// has vanished its locks for two hours.
constexpr char kServersKeepalives[] =
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 3; SET tcp_keepalives_count = 3; "
    "SET tcp_user_timeout = 5000";

// In "FATAL:  28P01: password authentication failed".
std::string SqlStateIn(absl::string_view text) {
  for (std::size_t at = text.find(":  "); at != absl::string_view::npos;
       at = text.find(":  ", at + 1)) {
    const absl::string_view state = text.substr(at + 3, 5);
    const bool fits = state.size() == 5 && absl::StartsWith(text.substr(at + 8), ": ") &&
                      std::all_of(state.begin(), state.end(), [](unsigned char letter) {
                        return std::isdigit(letter) || std::isupper(letter);
                      });
    if (fits) return std::string(state);
  }
  return "";
}

std::string Field(const PGresult* result, int field) {
  const char* const text = PQresultErrorField(result, field);
  return text == nullptr ? "" : text;
}

// What libpq says of a lost connection has no SQLSTATE: only what the server says has.
bool IsServersError(const PGresult* result) {
  return PQresultStatus(result) == PGRES_FATAL_ERROR &&
         PQresultErrorField(result, PG_DIAG_SQLSTATE) != nullptr;
}

bool EndsTheSession(const PGresult* result) {
  const std::string severity = Field(result, PG_DIAG_SEVERITY_NONLOCALIZED);
  return severity == "FATAL" || severity == "PANIC";
}

bool IsDone(const PGresult* result) {
  const ExecStatusType status = PQresultStatus(result);
  return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_EMPTY_QUERY;
}

// That a statement was prepared is of no use any more: "cached plan must not change result type", a
// column's type was changed; or the server has forgotten it (DEALLOCATE, DISCARD ALL).
bool IsStale(const PGresult* result) {
  const std::string state = Field(result, PG_DIAG_SQLSTATE);
  return state == "0A000" || state == "26000";
}

// libpq's own would write to stderr.
void Ignore(void*, const PGresult*) {}

}  // namespace

void Rows::Clear::operator()(pg_result* result) const { PQclear(result); }

int Rows::size() const { return PQntuples(result_.get()); }

std::int64_t Rows::Int64(int row, int column) const {
  return DecodeInteger(PQgetvalue(result_.get(), row, column),
                       PQgetlength(result_.get(), row, column));
}

std::string Rows::String(int row, int column) const {
  return std::string(PQgetvalue(result_.get(), row, column),
                     static_cast<std::size_t>(PQgetlength(result_.get(), row, column)));
}

// A message that was sent, and what came back.
struct Connection::Step {
  std::string prepares = {};  // The statement's text, if it only prepares one.
  bool keep = false;          // Its rows are the caller's.
  bool reuses = false;        // It runs what an earlier exchange has prepared.
  Rows rows = {};
};

// Several messages that are sent together, and their answers, which come in the same order.
struct Connection::Exchange {
  bool pipeline = true;  // False: one script, whose answers are not counted before.
  bool cancels = true;   // Asks the server to cancel what does not end in time.
  std::vector<Step> steps = {};
  std::size_t answered = 0;
  bool complete = false;
  bool gave_up = false;  // What has come since may be the answer to having been cancelled.
  bool stopped = false;
  bool stale = false;  // An error of what was prepared earlier.
};

Connection::Connection(const Url& url, std::stop_token stop)
    : url_(url), stop_(std::move(stop)), stop_signal_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  on_stop_.emplace(stop_, [signal = stop_signal_] { eventfd_write(signal, 1); });
}

Connection::~Connection() {
  on_stop_.reset();
  PQfinish(connection_);
  if (stop_signal_ >= 0) close(stop_signal_);
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(const Url& url, std::stop_token stop,
                                                             TimePoint deadline) {
  std::unique_ptr<Connection> connection(new Connection(url, std::move(stop)));
  if (connection->stop_signal_ < 0) {
    return absl::UnavailableError(absl::StrCat("database: eventfd: ", std::strerror(errno)));
  }
  absl::Status status = connection->Connect(deadline);
  if (status.ok()) status = connection->Configure(deadline);
  if (!status.ok()) return status;
  return connection;
}

absl::Status Connection::Connect(TimePoint deadline) {
  std::vector<const char*> names;
  std::vector<const char*> values;
  const auto add = [&](const char* name, const char* value) {
    names.push_back(name);
    values.push_back(value);
  };
  for (const auto& [name, value] : kDefaults) add(name, value);
  add("fallback_application_name", program_invocation_short_name);
  const std::string silence = absl::StrCat(SilenceOfOneHost(url_, deadline).count());
  add(kUserTimeoutName, silence.c_str());
  // The last one counts.
  for (const auto& [name, value] : url_.parameters()) add(name.c_str(), value.c_str());
  add("client_encoding", "UTF8");
  add(nullptr, nullptr);
  connection_ = PQconnectStartParams(names.data(), values.data(), /*expand_dbname=*/0);
  if (connection_ == nullptr) return absl::UnavailableError("database: no memory to connect");
  PQsetErrorVerbosity(connection_, PQERRORS_VERBOSE);  // Only so does it tell the SQLSTATE.
  PQsetNoticeReceiver(connection_, &Ignore, nullptr);

  PostgresPollingStatusType next = PGRES_POLLING_WRITING;
  while (PQstatus(connection_) != CONNECTION_BAD && next != PGRES_POLLING_FAILED) {
    if (next == PGRES_POLLING_OK) {
      if (!Names(url_, kUserTimeoutName)) AllowSilence();
      return absl::OkStatus();
    }
    switch (Wait(next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline, true)) {
      case Woken::kStopped:
        return absl::UnavailableError("database: closing");
      case Woken::kDeadline:
        return absl::UnavailableError("database: no connection was made in time");
      case Woken::kReady:
        next = PQconnectPoll(connection_);
    }
  }
  const std::string text = ErrorText();
  const std::string state = SqlStateIn(text);
  return absl::Status(state.empty() ? absl::StatusCode::kUnavailable : CodeForSqlState(state),
                      absl::StrCat("database: ", text));
}

// As long as is usual once it is connected.
void Connection::AllowSilence() {
  const auto timeout = static_cast<unsigned>(kUserTimeout.count());
  // A Unix socket has none.
  setsockopt(PQsocket(connection_), IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout, sizeof timeout);
}

absl::Status Connection::Configure(TimePoint deadline) {
  if (PQserverVersion(connection_) < 130'000) {
    return absl::FailedPreconditionError("database: its server is older than PostgreSQL 13");
  }
  const char* const encoding = PQparameterStatus(connection_, "server_encoding");
  if (encoding == nullptr || absl::string_view(encoding) != "UTF8") {
    return absl::FailedPreconditionError(
        absl::StrCat("database: its encoding is ", encoding == nullptr ? "unknown" : encoding,
                     "; create it with ENCODING 'UTF8' TEMPLATE template0"));
  }
  if (PQsetnonblocking(connection_, 1) != 0 || PQenterPipelineMode(connection_) != 1) {
    return absl::UnavailableError(absl::StrCat("database: ", ErrorText()));
  }
  // A statement ends when its client has gone, and does not hold its locks until it notices. Not
  // every server can (14 or newer, on Linux): then this fails, and nothing is lost.
  RunScript("SET client_connection_check_interval = '1s'", deadline).IgnoreError();
  // The same where it waits for the rest of a transaction, or has unread answers.
  RunScript(kServersKeepalives, deadline).IgnoreError();
  if (broken_) return absl::UnavailableError("database: the connection was lost");
  return absl::OkStatus();
}

absl::StatusOr<Rows> Connection::Query(const Statement& statement, TimePoint deadline) {
  if (absl::Status status = Begin(deadline); !status.ok()) return status;
  Exchange exchange;
  const bool sent = SendTimeLimit(deadline, exchange) && Send(statement, exchange, true);
  if (sent) Run(exchange, deadline);
  if (absl::Status status = FirstError(exchange); !status.ok()) return status;
  if (!sent || exchange.steps.empty() || exchange.answered < exchange.steps.size()) {
    broken_ = true;
    return NoAnswer(exchange);
  }
  if (exchange.gave_up) return NoAnswer(exchange);
  return std::move(exchange.steps.back().rows);
}

absl::StatusOr<std::vector<Rows>> Connection::Commit(absl::Span<const Statement> statements,
                                                     TimePoint deadline) {
  if (absl::Status status = Begin(deadline); !status.ok()) return status;
  Exchange exchange{.cancels = false};
  bool sent = Send(Statement("BEGIN ISOLATION LEVEL READ COMMITTED"), exchange, false) &&
              SendTimeLimit(deadline, exchange);
  for (const Statement& statement : statements) sent = sent && Send(statement, exchange, true);
  sent = sent && Send(Statement("COMMIT"), exchange, false);
  if (!sent) {
    broken_ = true;
    return absl::UnavailableError("database: the connection was lost");
  }
  Run(exchange, deadline);

  const PGresult* const end = exchange.steps.back().rows.result_.get();
  if (end != nullptr && IsDone(end) &&
      absl::string_view(PQcmdStatus(const_cast<PGresult*>(end))) == "COMMIT") {
    std::vector<Rows> answers;
    for (Step& step : exchange.steps) {
      if (step.keep) answers.push_back(std::move(step.rows));
    }
    return answers;
  }
  // While it commits, the server may go down with the transaction stored.
  const bool open = end != nullptr && IsServersError(end) && EndsTheSession(end);
  absl::Status status = FirstError(exchange);
  RollBack(deadline);
  if (!status.ok() && !open) return status;
  broken_ = true;
  return absl::UnknownError(
      absl::StrCat("database: the connection was lost before it was known whether the transaction "
                   "was committed; it may have been (",
                   status.ok() ? NoAnswer(exchange).message() : status.message(), ")"));
}

absl::Status Connection::RunScript(const std::string& sql, TimePoint deadline) {
  if (absl::Status status = Begin(deadline); !status.ok()) return status;
  Exchange exchange{.pipeline = false};
  const bool sent =
      PQexitPipelineMode(connection_) == 1 && PQsendQuery(connection_, sql.c_str()) == 1;
  if (sent) Run(exchange, deadline);
  absl::Status status = FirstError(exchange);
  if (!exchange.complete || PQenterPipelineMode(connection_) != 1) {
    broken_ = true;
    return status.ok() ? NoAnswer(exchange) : status;
  }
  RollBack(deadline);
  return status.ok() && exchange.gave_up ? NoAnswer(exchange) : status;
}

absl::StatusOr<bool> Connection::AwaitNotification(TimePoint deadline) {
  for (;;) {
    if (!IsUsable()) {
      return absl::UnavailableError(absl::StrCat("database: ", ErrorText()));
    }
    bool notified = false;
    while (PGnotify* const notification = PQnotifies(connection_)) {
      PQfreemem(notification);
      notified = true;
    }
    if (notified) return true;
    switch (Wait(POLLIN, deadline, true)) {
      case Woken::kStopped:
        return absl::UnavailableError("database: closing");
      case Woken::kDeadline:
        return false;
      case Woken::kReady:
        break;
    }
  }
}

bool Connection::IsUsable() {
  if (broken_) return false;
  // The server's last words, and that it has hung up, come one after the other.
  constexpr int kReads = 100;
  pollfd socket{PQsocket(connection_), POLLIN, 0};
  for (int reads = 0; reads < kReads && poll(&socket, 1, 0) > 0; ++reads) {
    if (PQconsumeInput(connection_) == 0) broken_ = true;
    PQisBusy(connection_);  // Reads what has arrived.
    if (broken_ || PQstatus(connection_) != CONNECTION_OK) break;
  }
  broken_ = broken_ || PQstatus(connection_) != CONNECTION_OK ||
            PQtransactionStatus(connection_) != PQTRANS_IDLE;
  return !broken_;
}

// Whether an exchange may begin.
absl::Status Connection::Begin(TimePoint deadline) {
  if (stop_.stop_requested()) return absl::UnavailableError("database: closing");
  if (Clock::now() >= deadline) return absl::DeadlineExceededError("database: no time was left");
  if (!IsUsable()) return absl::UnavailableError("database: the connection was lost");
  return absl::OkStatus();
}

bool Connection::Send(const Statement& statement, Exchange& exchange, bool keep) {
  std::vector<EncodedValue> encoded;
  for (const Value& value : statement.values) encoded.push_back(Encode(value));
  std::vector<Oid> types;
  std::vector<const char*> values;
  std::vector<int> sizes;
  for (const EncodedValue& value : encoded) {
    types.push_back(value.type);
    values.push_back(value.bytes.data());
    sizes.push_back(static_cast<int>(value.bytes.size()));
  }
  const std::vector<int> binary(encoded.size(), 1);
  const int count = static_cast<int>(encoded.size());
  const auto [prepared, is_new] = prepared_.try_emplace(statement.sql);
  if (is_new) {
    prepared->second = absl::StrCat("s", ++names_);
    exchange.steps.push_back({.prepares = statement.sql});
    if (PQsendPrepare(connection_, prepared->second.c_str(), statement.sql.c_str(), count,
                      types.data()) != 1) {
      return false;
    }
  }
  exchange.steps.push_back({.keep = keep, .reuses = !is_new});
  return PQsendQueryPrepared(connection_, prepared->second.c_str(), count, values.data(),
                             sizes.data(), binary.data(), /*resultFormat=*/1) == 1;
}

// For the transaction that it is sent in.
bool Connection::SendTimeLimit(TimePoint deadline, Exchange& exchange) {
  if (deadline == TimePoint::max()) return true;
  const Clock::duration remaining = deadline - Clock::now();
  const auto limit = std::chrono::ceil<milliseconds>(remaining - Margin(remaining));
  const auto at_most = std::clamp<std::int64_t>(limit.count(), 1, 1'000'000'000);
  // A little sooner, so that the error says what it waited for.
  const auto for_lock = std::max<std::int64_t>(at_most - at_most / 20, 1);
  return Send(Statement("SELECT set_config('statement_timeout', $1, true), "
                        "set_config('lock_timeout', $2, true)",
                        absl::StrCat(at_most), absl::StrCat(for_lock)),
              exchange, false);
}

// Sends what is left to send and reads the answers, until they are complete, the connection is
// lost, or the time is up: then a transaction is left to the server, and all else cancelled.
void Connection::Run(Exchange& exchange, TimePoint deadline) {
  if (exchange.pipeline && PQpipelineSync(connection_) != 1) {
    broken_ = true;
    return;
  }
  std::optional<AbandonableThread> cancelling;
  TimePoint until = deadline;
  if (exchange.cancels && deadline != TimePoint::max()) {
    until -= Margin(deadline - Clock::now()) / 2;
  }
  while (!exchange.complete) {
    const int unsent = PQflush(connection_);
    if (!Read(exchange)) break;
    if (exchange.complete) continue;
    const short events = unsent > 0 ? POLLIN | POLLOUT : POLLIN;
    const Woken woken = Wait(events, until, !exchange.gave_up);
    if (woken == Woken::kReady) {
      const bool lost = PQconsumeInput(connection_) == 0;
      if (!Read(exchange) || lost) break;
      continue;
    }
    if (std::exchange(exchange.gave_up, true)) break;
    exchange.stopped = woken == Woken::kStopped;
    until = exchange.stopped ? std::min(deadline, Clock::now() + kCancelPatience) : deadline;
    if (exchange.cancels) cancelling = Cancel();
  }
  NotePrepared(exchange);
  // A cancellation that is still on its way would hit the next statement.
  if (!exchange.complete || (cancelling && !cancelling->Await(until))) broken_ = true;
}

// Takes the answers that have arrived. False: there will be no more.
bool Connection::Read(Exchange& exchange) {
  int nothing = 0;
  while (!exchange.complete && PQisBusy(connection_) == 0) {
    Rows rows;
    rows.result_.reset(PQgetResult(connection_));
    if (rows.result_ == nullptr) {
      // Once between two answers of a pipeline, and at the end of a script.
      if (++nothing > 1 || PQstatus(connection_) != CONNECTION_OK) return false;
      if (!exchange.pipeline) exchange.complete = true;
      continue;
    }
    nothing = 0;
    if (PQresultStatus(rows.result_.get()) == PGRES_PIPELINE_SYNC) {
      exchange.complete = true;
      continue;
    }
    if (!exchange.pipeline) exchange.steps.emplace_back();
    if (exchange.answered == exchange.steps.size()) return false;
    exchange.steps[exchange.answered++].rows = std::move(rows);
  }
  return true;
}

// Forgets the names of what could not be prepared, so that it is tried again. Of what was prepared
// earlier others may be stale as well: a new connection has none.
void Connection::NotePrepared(Exchange& exchange) {
  for (const Step& step : exchange.steps) {
    const PGresult* const result = step.rows.result_.get();
    const bool done = result != nullptr && IsDone(result);
    if (!step.prepares.empty() && !done) prepared_.erase(step.prepares);
    if (step.reuses && result != nullptr && IsStale(result)) broken_ = exchange.stale = true;
  }
}

std::optional<AbandonableThread> Connection::Cancel() try {
  // Not encrypted, even where the connection is: it says nothing but a number that the server has
  // made up.
  const std::shared_ptr<PGcancel> cancel(PQgetCancel(connection_), &PQfreeCancel);
  return AbandonableThread([cancel] {
    char why[256];
    PQcancel(cancel.get(), why, sizeof why);
  });
} catch (const std::system_error&) {
  return std::
      nullopt;  // No thread is to be had: the server learns of it when the connection closes.
}

// Ends the transaction in which an error was met.
void Connection::RollBack(TimePoint deadline) {
  if (broken_ || PQtransactionStatus(connection_) == PQTRANS_IDLE) return;
  Exchange exchange;
  if (!Send(Statement("ROLLBACK"), exchange, false)) {
    broken_ = true;
    return;
  }
  Run(exchange, deadline);
}

absl::Status Connection::FirstError(const Exchange& exchange) const {
  for (const Step& step : exchange.steps) {
    const PGresult* const result = step.rows.result_.get();
    if (result == nullptr || !IsServersError(result)) continue;
    const std::string state = Field(result, PG_DIAG_SQLSTATE);
    const std::string text = url_.Hide(absl::StrCat(
        "database: ", Field(result, PG_DIAG_MESSAGE_PRIMARY), " (SQLSTATE ", state, ")"));
    if (exchange.stopped || exchange.stale) return absl::UnavailableError(text);
    return absl::Status(CodeForSqlState(state), text);
  }
  return absl::OkStatus();
}

absl::Status Connection::NoAnswer(const Exchange& exchange) const {
  if (exchange.stopped) return absl::UnavailableError("database: closing");
  if (PQstatus(connection_) == CONNECTION_OK) {
    return absl::DeadlineExceededError("database: no answer in time");
  }
  return absl::UnavailableError(absl::StrCat("database: ", ErrorText()));
}

Connection::Woken Connection::Wait(short events, TimePoint deadline, bool heed_stop) {
  constexpr milliseconds kLongest{60'000};
  for (;;) {
    if (heed_stop && stop_.stop_requested()) return Woken::kStopped;
    const TimePoint now = Clock::now();
    if (now >= deadline) return Woken::kDeadline;
    pollfd descriptors[] = {{PQsocket(connection_), events, 0}, {stop_signal_, POLLIN, 0}};
    const auto left =
        deadline - now > kLongest ? kLongest : std::chrono::ceil<milliseconds>(deadline - now);
    poll(descriptors, heed_stop ? 2 : 1, static_cast<int>(left.count()));
    if (descriptors[0].revents != 0) return Woken::kReady;
  }
}

// What libpq says, in one line and without secrets.
std::string Connection::ErrorText() const {
  std::vector<absl::string_view> lines;
  const std::string text = PQerrorMessage(connection_);
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipWhitespace())) {
    if (absl::StartsWith(line, "LOCATION:")) continue;  // In PostgreSQL's own source.
    while (absl::StartsWith(line, "\t") || absl::StartsWith(line, " ")) line.remove_prefix(1);
    lines.push_back(line);
  }
  return url_.Hide(lines.empty() ? "the connection was lost" : absl::StrJoin(lines, "; "));
}

}  // namespace postgres
