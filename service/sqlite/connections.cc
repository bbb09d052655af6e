#include "service/sqlite/connections.h"

#include <utility>

namespace sqlite {

Connections::Loan::Loan(Connections& owner, Free& home, std::unique_ptr<Database> database)
    : owner_(owner), home_(home), database_(std::move(database)) {}

Connections::Loan::Loan(Loan&& other) noexcept = default;

Connections::Loan::~Loan() {
  if (database_ != nullptr) owner_.GiveBack(home_, std::move(database_));
}

absl::StatusOr<std::unique_ptr<Connections>> Connections::Open(const std::string& path,
                                                               const Schema& schema,
                                                               const Options& options) {
  std::unique_ptr<Connections> connections(new Connections());
  absl::StatusOr<std::unique_ptr<Database>> writer = Database::Open(path, schema, options.database);
  if (!writer.ok()) return writer.status();
  connections->writer_.push_back(*std::move(writer));
  while (connections->readers_.size() < options.readers) {
    absl::StatusOr<std::unique_ptr<Database>> reader =
        Database::OpenForReading(path, options.database);
    if (!reader.ok()) return reader.status();
    connections->readers_.push_back(*std::move(reader));
  }
  return connections;
}

Connections::~Connections() { Close().IgnoreError(); }

absl::StatusOr<Connections::Loan> Connections::Borrow(Loan::Free& from) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return closing_ || !from.empty(); });
  if (closing_) return absl::FailedPreconditionError("the database is closed");
  std::unique_ptr<Database> database = std::move(from.back());
  from.pop_back();
  ++lent_;
  return Loan(*this, from, std::move(database));
}

void Connections::GiveBack(Loan::Free& to, std::unique_ptr<Database> database) {
  std::lock_guard lock(mutex_);
  to.push_back(std::move(database));
  --lent_;
  changed_.notify_all();
}

absl::Status Connections::Close() {
  std::unique_lock lock(mutex_);
  if (std::exchange(closing_, true)) {
    changed_.wait(lock, [this] { return closed_; });
    return absl::OkStatus();
  }
  changed_.notify_all();
  changed_.wait(lock, [this] { return lent_ == 0; });

  Loan::Free readers = std::exchange(readers_, {});
  Loan::Free writer = std::exchange(writer_, {});
  lock.unlock();
  readers.clear();  // First: a reader could keep something in the log.
  const absl::Status status = writer.empty() ? absl::OkStatus() : writer.front()->Checkpoint();
  writer.clear();
  lock.lock();
  closed_ = true;
  changed_.notify_all();
  return status;
}

}  // namespace sqlite
