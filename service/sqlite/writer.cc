#include "service/sqlite/writer.h"

#include <exception>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"

namespace sqlite {
namespace {

using Clock = std::chrono::steady_clock;

// How long the thread waits for another process before it looks whether anybody still waits here.
constexpr std::chrono::milliseconds kSlice(100);

// Nothing is written to such a file.
absl::Status MovedAway(const Database& database) {
  const std::string log = database.PutLogAside();
  return absl::FailedPreconditionError(absl::StrCat(
      "the database file ", database.path(),
      " was moved, replaced or deleted while it was in use, and nothing is written any more: stop "
      "the server, put the file back, rename ",
      log, " to ", database.path(), "-wal, and start again"));
}

absl::Status Closed() { return absl::FailedPreconditionError("the database is closed"); }

// One piece of work, alone in what it can undo.
absl::Status RunOne(Database& database, const Writer::Work& work) {
  absl::StatusOr<Savepoint> savepoint = Savepoint::Begin(database);
  if (!savepoint.ok()) return savepoint.status();
  absl::Status status;
  try {
    status = work(database);
  } catch (const std::exception& thrown) {
    status = absl::InternalError(absl::StrCat("work for the database has thrown: ", thrown.what()));
  } catch (...) {
    status = absl::InternalError("work for the database has thrown no std::exception");
  }
  return status.ok() ? savepoint->Keep() : status;
}

}  // namespace

struct Writer::Item {
  enum class State { kQueued, kBegun, kDone };

  Item(Work what, TimePoint until, TimePoint now)
      : work(std::move(what)), deadline(until), queued(now) {}

  const Work work;
  const TimePoint deadline;
  const TimePoint queued;
  // Guarded by mutex_.
  State state = State::kQueued;
  // The thread's while kBegun, then guarded by mutex_.
  absl::Status status{};
  std::condition_variable done{};

  // Requires: mutex_ is held.
  void End(absl::Status with) {
    status = std::move(with);
    state = State::kDone;
    done.notify_one();
  }
};

Writer::Writer(std::unique_ptr<Database> database) : Writer(std::move(database), Bounds()) {}

Writer::Writer(std::unique_ptr<Database> database, const Bounds& bounds)
    : bounds_(bounds), database_(std::move(database)), thread_([this] { Loop(); }) {}

Writer::~Writer() {
  Close(TimePoint::max()).IgnoreError();
  thread_.join();
}

absl::Status Writer::Run(TimePoint deadline, Work work) {
  const TimePoint now = Clock::now();
  const auto item = std::make_shared<Item>(std::move(work), deadline, now);
  std::unique_lock lock(mutex_);
  if (closing_) return Closed();
  if (now >= deadline) return absl::DeadlineExceededError("the deadline is over already");
  if (!queue_.empty()) {
    const Clock::duration waited = now - queue_.front()->queued;
    if (waited > bounds_.wait || waited > deadline - now) {
      return absl::ResourceExhaustedError("too much waits to be written");
    }
  }
  queue_.push_back(item);
  const auto place = std::prev(queue_.end());
  changed_.notify_one();
  item->done.wait_until(lock, deadline, [&] { return item->state == Item::State::kDone; });
  if (item->state == Item::State::kDone) return item->status;
  if (item->state == Item::State::kBegun) {
    return absl::UnknownError("the deadline came during the commit; it may or may not be stored");
  }
  queue_.erase(place);
  return TooLate();
}

absl::Status Writer::Close(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  closing_ = true;
  changed_.notify_all();
  if (changed_.wait_until(lock, deadline, [this] { return ended_; })) return closed_;
  lock.unlock();
  Refuse(absl::UnavailableError("the database is being closed, and another process writes to it"));
  return absl::DeadlineExceededError("a commit is still under way");
}

std::size_t Writer::waiting() const {
  std::lock_guard lock(mutex_);
  return queue_.size();
}

std::size_t Writer::commits() const {
  std::lock_guard lock(mutex_);
  return commits_;
}

void Writer::Loop() {
  while (Await()) WriteBatch();
  absl::Status closed = CloseDatabase();
  std::lock_guard lock(mutex_);
  closed_ = std::move(closed);
  ended_ = true;
  changed_.notify_all();
}

bool Writer::Await() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return closing_ || !queue_.empty(); });
  return !queue_.empty();
}

void Writer::WriteBatch() {
  // The lock of the file comes first: what waits for it can still give up.
  absl::StatusOr<Transaction> transaction = Transaction::Begin(*database_, Clock::now() + kSlice);
  const bool locked = !transaction.ok() && database_->busy();
  SetLocked(locked);
  if (locked) return;
  if (!transaction.ok()) return Refuse(transaction.status());
  if (database_->Moved()) return Refuse(MovedAway(*database_));
  const Items batch = RunWork(*transaction);
  if (!transaction->active()) {
    return Deliver(batch, absl::UnavailableError("the database could not be written"));
  }
  absl::Status committed = transaction->Commit();
  if (committed.ok() && database_->Moved()) {
    committed = absl::UnknownError("the database file was moved away during the commit");
  }
  Deliver(batch, committed);
}

Writer::Items Writer::RunWork(const Transaction& transaction) {
  const TimePoint begun = Clock::now();
  Items batch;
  while (batch.size() < bounds_.batch && Clock::now() - begun < bounds_.batch_time) {
    const std::shared_ptr<Item> item = Take();
    if (item == nullptr) break;
    item->status = RunOne(*database_, item->work);
    batch.push_back(item);
    if (!transaction.active()) break;
  }
  return batch;
}

std::shared_ptr<Writer::Item> Writer::Take() {
  std::lock_guard lock(mutex_);
  while (!queue_.empty()) {
    const std::shared_ptr<Item> item = std::move(queue_.front());
    queue_.pop_front();
    if (Clock::now() < item->deadline) {
      item->state = Item::State::kBegun;
      return item;
    }
    item->End(TooLate());
  }
  return nullptr;
}

absl::Status Writer::TooLate() const {
  return absl::DeadlineExceededError(locked_ ? "another process has locked the database"
                                             : "too much was to be written before");
}

void Writer::SetLocked(bool locked) {
  std::lock_guard lock(mutex_);
  locked_ = locked;
}

void Writer::Deliver(const Items& batch, const absl::Status& committed) {
  std::lock_guard lock(mutex_);
  ++commits_;
  for (const std::shared_ptr<Item>& item : batch) {
    item->End(item->status.ok() ? committed : item->status);
  }
}

void Writer::Refuse(const absl::Status& status) {
  std::lock_guard lock(mutex_);
  for (const std::shared_ptr<Item>& item : queue_) item->End(status);
  queue_.clear();
}

absl::Status Writer::CloseDatabase() {
  absl::Status status = database_->Moved() ? MovedAway(*database_) : database_->Checkpoint();
  database_.reset();
  return status;
}

}  // namespace sqlite
