#include "service/postgres/writer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <utility>

namespace postgres {
namespace {

using Clock = std::chrono::steady_clock;
using Answers = std::vector<Rows>;

// Of the statement, and not of the moment: trying the others without it helps them.
bool ConcernsOne(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsInternal(status);
}

}  // namespace

struct Writer::Work {
  Statements statements;
  TimePoint deadline;
  TimePoint since;
  // Guarded by the state's mutex.
  bool begun = false;
  bool done = false;
  Late late = nullptr;  // Set once its caller has left.
  absl::StatusOr<Answers> answers = Answers();
};

struct Writer::State {
  using Batch = std::vector<std::shared_ptr<Work>>;

  State(std::shared_ptr<Pool> pool, Statements first, Statements last, const Bounds& bounds)
      : pool(std::move(pool)), first(std::move(first)), last(std::move(last)), bounds(bounds) {}

  const std::shared_ptr<Pool> pool;
  const Statements first;
  const Statements last;
  const Bounds bounds;

  mutable std::mutex mutex;
  std::condition_variable changed;
  // All guarded by mutex.
  std::deque<std::shared_ptr<Work>> queue;
  bool closing = false;
  std::size_t commits = 0;

  void Loop();
  bool TakeBatch(Batch& batch);
  void Commit(const Batch& batch);
  void Finish(Work& work, absl::StatusOr<Answers> answers);
};

void Writer::State::Loop() {
  for (Batch batch; TakeBatch(batch); batch.clear()) Commit(batch);
}

// Waits for work. False: there is none, and none will come.
bool Writer::State::TakeBatch(Batch& batch) {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return closing || !queue.empty(); });
  for (; !queue.empty() && batch.size() < bounds.batch; queue.pop_front()) {
    queue.front()->begun = true;
    batch.push_back(std::move(queue.front()));
  }
  return !batch.empty();
}

void Writer::State::Commit(const Batch& batch) {
  {
    std::lock_guard lock(mutex);
    ++commits;
  }
  Statements statements = first;
  TimePoint deadline = TimePoint::min();
  for (const std::shared_ptr<Work>& work : batch) {
    statements.insert(statements.end(), work->statements.begin(), work->statements.end());
    deadline = std::max(deadline, work->deadline);
  }
  statements.insert(statements.end(), last.begin(), last.end());
  deadline = std::min(deadline, Clock::now() + bounds.commit_time);

  absl::StatusOr<Answers> all = pool->Commit(statements, deadline);
  if (!all.ok() && ConcernsOne(all.status()) && batch.size() > 1) {
    for (const std::shared_ptr<Work>& work : batch) Commit({work});
    return;
  }
  auto next = all.ok() ? std::make_move_iterator(all->begin() + std::ssize(first))
                       : std::move_iterator<Answers::iterator>();
  for (const std::shared_ptr<Work>& work : batch) {
    if (!all.ok()) {
      Finish(*work, all.status());
      continue;
    }
    const auto end = next + std::ssize(work->statements);
    Finish(*work, Answers(next, end));
    next = end;
  }
}

void Writer::State::Finish(Work& work, absl::StatusOr<Answers> answers) {
  const absl::Status ended = answers.status();
  std::unique_lock lock(mutex);
  work.answers = std::move(answers);
  work.done = true;
  const Late late = std::exchange(work.late, nullptr);
  changed.notify_all();
  lock.unlock();
  if (late) late(ended);
}

Writer::Writer(std::shared_ptr<Pool> pool, Statements first, Statements last)
    : Writer(std::move(pool), std::move(first), std::move(last), Bounds()) {}

Writer::Writer(std::shared_ptr<Pool> pool, Statements first, Statements last, const Bounds& bounds)
    : state_(std::make_shared<State>(std::move(pool), std::move(first), std::move(last), bounds)),
      thread_([state = state_] { state->Loop(); }) {}

Writer::~Writer() { Close(Clock::now()).IgnoreError(); }

absl::StatusOr<Answers> Writer::Run(Statements statements, TimePoint deadline, Late late) {
  auto work = std::make_shared<Work>();
  work->statements = std::move(statements);
  work->deadline = deadline;
  work->since = Clock::now();
  State& state = *state_;
  std::unique_lock lock(state.mutex);
  if (state.closing) return absl::FailedPreconditionError("the database is closed");
  if (work->since >= deadline) return absl::DeadlineExceededError("database: no time was left");
  if (!state.queue.empty() && work->since - state.queue.front()->since > state.bounds.wait) {
    return absl::ResourceExhaustedError("database: too many others wait to write");
  }
  state.queue.push_back(work);
  state.changed.notify_all();
  if (state.changed.wait_until(lock, deadline, [&] { return work->done; })) {
    return std::move(work->answers);
  }
  if (work->begun) {
    work->late = std::move(late);
    return absl::UnknownError("database: the deadline came during the commit; it may be stored");
  }
  std::erase(state.queue, work);
  return absl::DeadlineExceededError("database: others wrote until the deadline");
}

absl::Status Writer::Close(TimePoint deadline) {
  {
    std::lock_guard lock(state_->mutex);
    state_->closing = true;
    state_->changed.notify_all();
  }
  if (thread_.Await(deadline)) return absl::OkStatus();
  std::lock_guard lock(state_->mutex);
  for (const std::shared_ptr<Work>& work : state_->queue) {
    work->answers = absl::FailedPreconditionError("the database is closed");
    work->done = true;
  }
  state_->queue.clear();
  state_->changed.notify_all();
  return absl::DeadlineExceededError("database: a commit was under way when it was to be closed");
}

std::size_t Writer::commits() const {
  std::lock_guard lock(state_->mutex);
  return state_->commits;
}

std::size_t Writer::waiting() const {
  std::lock_guard lock(state_->mutex);
  return state_->queue.size();
}

}  // namespace postgres
