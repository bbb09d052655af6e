#include "service/sqlite/connections.h"

namespace sqlite {

Connections::Loan::Loan(Connections& owner, std::unique_ptr<Database> database)
    : owner_(owner), database_(std::move(database)) {}

Connections::Loan::Loan(Loan&& other) noexcept = default;

Connections::Loan::~Loan() {
  if (database_ != nullptr) owner_.GiveBack(std::move(database_));
}

absl::StatusOr<std::unique_ptr<Connections>> Connections::Open(const std::string& path,
                                                               const Schema& schema,
                                                               const Options& options) {
  std::unique_ptr<Connections> connections(new Connections());
  absl::StatusOr<std::unique_ptr<Database>> writer = Database::Open(path, schema, options.database);
  if (!writer.ok()) return writer.status();
  while (connections->readers_.size() < options.readers) {
    absl::StatusOr<std::unique_ptr<Database>> reader =
        Database::OpenForReading(path, options.database);
    if (!reader.ok()) return reader.status();
    connections->readers_.push_back(*std::move(reader));
  }
  connections->writer_ = std::make_unique<Writer>(*std::move(writer));
  return connections;
}

Connections::~Connections() {
  if (writer_ != nullptr) Close(TimePoint::max()).IgnoreError();
}

absl::StatusOr<Connections::Loan> Connections::Reader(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  changed_.wait_until(lock, deadline, [&] { return closing_ || !readers_.empty(); });
  if (closing_) return absl::FailedPreconditionError("the database is closed");
  if (readers_.empty()) return absl::DeadlineExceededError("all connections are in use");
  std::unique_ptr<Database> database = std::move(readers_.back());
  readers_.pop_back();
  ++lent_;
  database->set_deadline(deadline);
  return Loan(*this, std::move(database));
}

void Connections::GiveBack(std::unique_ptr<Database> database) {
  std::lock_guard lock(mutex_);
  readers_.push_back(std::move(database));
  --lent_;
  changed_.notify_all();
}

absl::Status Connections::Close(TimePoint deadline) {
  std::unique_lock lock(mutex_);
  closing_ = true;
  changed_.notify_all();
  // First: a reader could keep something in the log.
  const bool returned = changed_.wait_until(lock, deadline, [this] { return lent_ == 0; });
  readers_.clear();
  lock.unlock();
  absl::Status closed = writer_->Close(deadline);
  return returned ? closed : absl::DeadlineExceededError("a read is still under way");
}

}  // namespace sqlite
