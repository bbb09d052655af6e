#ifndef SERVICE_ORDERS_SQLITE_ORDER_STORE_H_
#define SERVICE_ORDERS_SQLITE_ORDER_STORE_H_

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "orders/v1/orders.pb.h"
#include "service/orders/order_store.h"
#include "service/sqlite/connections.h"

namespace orders {

// Stores orders in one SQLite file, for one process or several on the same host.
//
// Sequence numbers are assigned while nobody else can write, so events become visible in their
// order, whichever process writes them.
//
// Lifetime: Close() may be called while other methods run, and other methods after Close(); the
// destructor may not.
class SqliteOrderStore final : public OrderStore {
 public:
  // Errors: those of sqlite::Database::Open(), each a sentence for whoever starts the server.
  static absl::StatusOr<std::unique_ptr<SqliteOrderStore>> Open(const std::string& path);

  absl::StatusOr<Placed> Place(NewOrder order, Deadline deadline) override;
  absl::StatusOr<std::optional<v1::Order>> FindByRequestId(const std::string& request_id,
                                                           Deadline deadline) override;
  absl::StatusOr<std::optional<v1::Order>> Find(const std::string& order_id,
                                                Deadline deadline) override;
  absl::StatusOr<Page> List(std::int64_t from, int limit, Deadline deadline) override;
  absl::StatusOr<v1::Order> Cancel(const std::string& order_id, Deadline deadline) override;

  absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t after, int limit,
                                                      Deadline deadline) override;
  absl::StatusOr<std::vector<OrderEvent>> AwaitEventsAfter(std::int64_t after, int limit,
                                                           Deadline deadline,
                                                           std::stop_token stop) override;
  absl::StatusOr<std::int64_t> LastSequence(Deadline deadline) override;
  absl::StatusOr<std::int64_t> Trim(std::int64_t before, Deadline deadline,
                                    std::stop_token stop) override;

  absl::StatusOr<std::vector<OutboxItem>> Claim(int limit, std::chrono::milliseconds lease,
                                                Deadline deadline) override;
  absl::StatusOr<Settled> Settle(const std::vector<Settlement>& settlements,
                                 Deadline deadline) override;
  absl::Status Postpone(const std::vector<OutboxItem>& items, std::chrono::milliseconds delay,
                        Deadline deadline) override;
  absl::Status GiveBack(const std::vector<OutboxItem>& items, Deadline deadline) override;
  absl::StatusOr<Backlog> OutboxBacklog(Deadline deadline) override;

  absl::StatusOr<SalesTotals> LoadTotals(Deadline deadline) override;
  absl::Status SaveTotals(const SalesTotals& totals, Deadline deadline) override;
  absl::StatusOr<SalesTotals> ComputeTotals(Deadline deadline) override;

  std::int64_t Commits() const override { return connections_->commits(); }
  const std::string& DatabaseId() const override { return database_id_; }
  absl::Status Close(Deadline deadline) override;

 private:
  SqliteOrderStore(std::unique_ptr<sqlite::Connections> connections, std::string database_id);

  // Wakes those who wait for events.
  void TellOfEvents();

  const std::unique_ptr<sqlite::Connections> connections_;
  const std::string database_id_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::int64_t writes_ = 0;  // Guarded by mutex_. How often this process may have added events.
};

}  // namespace orders

#endif  // SERVICE_ORDERS_SQLITE_ORDER_STORE_H_
