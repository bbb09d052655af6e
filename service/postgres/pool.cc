#include "service/postgres/pool.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "service/postgres/abandonable_thread.h"

namespace postgres {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// How long a pool that cannot be opened waits for its threads to give up.
constexpr std::chrono::seconds kGiveUp{2};

// For what still runs when a pool is closed: a fifth of the time, to hear that it was cancelled.
TimePoint CancelAt(TimePoint now, TimePoint deadline) {
  return deadline -
         std::min<Clock::duration>((deadline - now) / 5, 2 * Connection::kCancelPatience);
}

absl::Status ToOpenStatus(const Url& url, const absl::Status& status) {
  std::string remedy;
  if (absl::IsUnavailable(status)) {
    remedy = "check that the server runs there and can be reached";
  } else if (absl::IsPermissionDenied(status)) {
    remedy = "check the user, the password (in PGPASSWORD or the URL) and the server's pg_hba.conf";
  } else if (absl::IsNotFound(status)) {
    remedy = "create the database, or name another one";
  } else {
    return absl::Status(status.code(),
                        absl::StrCat("cannot use ", url.description(), ": ", status.message()));
  }
  return absl::Status(status.code(), absl::StrCat("cannot open ", url.description(), ": ",
                                                  status.message(), "; ", remedy));
}

// The database was there and could be used, and operators can make it so again.
absl::Status SinceOpened(const absl::Status& status) {
  if (!absl::IsNotFound(status) && !absl::IsPermissionDenied(status)) return status;
  return absl::UnavailableError(status.message());
}
template <typename Answer>
absl::StatusOr<Answer> SinceOpened(absl::StatusOr<Answer> answer) {
  if (!answer.ok()) return SinceOpened(answer.status());
  return answer;
}

}  // namespace

struct Pool::State : std::enable_shared_from_this<Pool::State> {
  State(const Url& url, const Options& options) : url(url), options(options) {}

  const Url url;
  const Options options;
  std::stop_source cancel;  // Ends what runs.

  std::mutex mutex;
  std::condition_variable changed;
  // All guarded by mutex.
  std::vector<std::unique_ptr<Connection>> idle;
  std::size_t lent = 0;
  std::size_t being_made = 0;
  std::vector<AbandonableThread> connecting;  // Some of them may have ended.
  std::size_t waiting = 0;
  bool closing = false;
  bool closed = false;
  // Of the last attempt to connect, until one succeeds.
  absl::Status failure;
  milliseconds backoff{0};
  TimePoint retry_at{};

  // These require the mutex.
  absl::StatusOr<std::unique_ptr<Connection>> AwaitIdle(std::unique_lock<std::mutex>& lock,
                                                        TimePoint deadline);
  std::unique_ptr<Connection> TakeIdle();
  bool MayConnect(TimePoint now) const;
  void StartConnecting();
  void Fail(const absl::Status& status);  // Of an attempt to connect.

  void Connect();
  void Return(std::unique_ptr<Connection> connection);
};

class Pool::Loan {
 public:
  Loan(std::shared_ptr<State> state, std::unique_ptr<Connection> connection)
      : state_(std::move(state)), connection_(std::move(connection)) {}
  Loan(Loan&&) = default;
  ~Loan() {
    if (connection_ != nullptr) state_->Return(std::move(connection_));
  }
  Connection* operator->() const { return connection_.get(); }

 private:
  std::shared_ptr<State> state_;
  std::unique_ptr<Connection> connection_;
};

std::unique_ptr<Connection> Pool::State::TakeIdle() {
  while (!idle.empty()) {
    std::unique_ptr<Connection> connection = std::move(idle.back());
    idle.pop_back();
    if (connection->IsUsable()) return connection;
  }
  return nullptr;
}

bool Pool::State::MayConnect(TimePoint now) const {
  if (idle.size() + lent + being_made >= options.connections) return false;
  // One attempt at a time while the server is away.
  if (!failure.ok()) return being_made == 0 && now >= retry_at;
  return being_made < waiting;
}

void Pool::State::StartConnecting() {
  std::erase_if(connecting,
                [](const AbandonableThread& thread) { return thread.Await(TimePoint::min()); });
  ++being_made;
  try {
    connecting.emplace_back([state = shared_from_this()] { state->Connect(); });
  } catch (const std::system_error& error) {
    Fail(absl::UnavailableError(absl::StrCat("database: no thread to connect: ", error.what())));
  }
}

void Pool::State::Fail(const absl::Status& status) {
  --being_made;
  failure = status;
  backoff = std::clamp(2 * backoff, kMinBackoff, kMaxBackoff);
  retry_at = Clock::now() + backoff;
  changed.notify_all();
}

void Pool::State::Connect() {
  auto connection =
      Connection::Open(url, cancel.get_token(), Clock::now() + options.connect_timeout);
  std::lock_guard lock(mutex);
  if (!connection.ok()) return Fail(connection.status());
  --being_made;
  failure = absl::OkStatus();
  backoff = milliseconds(0);
  if (!closing) idle.push_back(*std::move(connection));
  changed.notify_all();
}

void Pool::State::Return(std::unique_ptr<Connection> connection) {
  std::lock_guard lock(mutex);
  --lent;
  if (!closing && connection->IsUsable()) idle.push_back(std::move(connection));
  changed.notify_all();
}

absl::StatusOr<std::unique_ptr<Connection>> Pool::State::AwaitIdle(
    std::unique_lock<std::mutex>& lock, TimePoint deadline) {
  bool connects = false;
  for (;;) {
    if (closing) return absl::FailedPreconditionError("the database is closed");
    if (std::unique_ptr<Connection> connection = TakeIdle()) return connection;
    const TimePoint now = Clock::now();
    if (now >= deadline && lent == 0) {
      return absl::UnavailableError("database: no connection was made in time");
    }
    if (now >= deadline) {
      return absl::DeadlineExceededError("database: no connection was free in time");
    }
    if (MayConnect(now)) {
      StartConnecting();
      connects = true;
    }
    // While the server is away, an attempt may take long: who has not begun it does not wait for it.
    const bool attempted = connects && being_made > 0;
    if (!failure.ok() && lent == 0 && !attempted) return failure;
    changed.wait_until(lock, deadline);
  }
}

absl::StatusOr<std::unique_ptr<Pool>> Pool::Open(const Url& url, const Options& options,
                                                 TimePoint deadline) {
  std::unique_ptr<Pool> pool(new Pool(url, options));
  const absl::Status first = pool->Borrow(deadline).status();
  if (first.ok()) return pool;
  pool->Close(Clock::now() + kGiveUp).IgnoreError();
  return ToOpenStatus(url, first);
}

Pool::Pool(const Url& url, const Options& options)
    : state_(std::make_shared<State>(url, options)) {}

Pool::~Pool() { Close(Clock::now()).IgnoreError(); }

absl::StatusOr<Rows> Pool::Query(const Statement& statement, TimePoint deadline) {
  absl::StatusOr<Loan> connection = Borrow(deadline);
  if (!connection.ok()) return SinceOpened(connection.status());
  return SinceOpened((*connection)->Query(statement, deadline));
}

absl::StatusOr<std::vector<Rows>> Pool::Commit(absl::Span<const Statement> statements,
                                               TimePoint deadline) {
  absl::StatusOr<Loan> connection = Borrow(deadline);
  if (!connection.ok()) return SinceOpened(connection.status());
  return SinceOpened((*connection)->Commit(statements, deadline));
}

absl::StatusOr<Pool::Loan> Pool::Borrow(TimePoint deadline) {
  std::unique_lock lock(state_->mutex);
  ++state_->waiting;
  absl::StatusOr<std::unique_ptr<Connection>> connection = state_->AwaitIdle(lock, deadline);
  --state_->waiting;
  if (!connection.ok()) return connection.status();
  ++state_->lent;
  return Loan(state_, *std::move(connection));
}

absl::Status Pool::Close(TimePoint deadline) {
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  const auto done = [&] { return state.lent == 0; };
  if (std::exchange(state.closing, true)) {
    state.changed.wait_until(lock, deadline, [&] { return state.closed; });
    return absl::OkStatus();
  }
  state.changed.notify_all();
  const bool in_time = state.changed.wait_until(lock, CancelAt(Clock::now(), deadline), done);
  const std::size_t cancelled = state.lent;
  const std::vector<AbandonableThread> connecting = std::move(state.connecting);
  lock.unlock();
  state.cancel.request_stop();  // Also what only connects.
  const auto hangs = std::count_if(
      connecting.begin(), connecting.end(),
      [deadline](const AbandonableThread& thread) { return !thread.Await(deadline); });
  lock.lock();
  const bool ended = state.changed.wait_until(lock, deadline, done);
  state.idle.clear();
  state.closed = true;
  state.changed.notify_all();
  if (!in_time) {
    return absl::DeadlineExceededError(absl::StrCat(
        "database: ", cancelled,
        ended ? " statements were cut short" : " statements were cut short, and some still run"));
  }
  if (hangs == 0) return absl::OkStatus();
  return absl::DeadlineExceededError(
      absl::StrCat("database: ", hangs, " threads still ask for the server's address"));
}

}  // namespace postgres
