#ifndef SERVICE_ORDERS_SQLITE_ORDER_STORE_H_
#define SERVICE_ORDERS_SQLITE_ORDER_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
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

  absl::StatusOr<Placed> Place(const orders::v1::Order& order,
                               const std::string& reservation_id) override;
  absl::StatusOr<std::optional<orders::v1::Order>> FindByRequestId(
      const std::string& request_id) override;
  absl::StatusOr<std::optional<orders::v1::Order>> Find(const std::string& order_id) override;
  absl::StatusOr<Page> List(std::int64_t from, int limit) override;
  absl::StatusOr<std::vector<OrderEvent>> EventsAfter(std::int64_t after, int limit) override;
  absl::StatusOr<std::int64_t> LastSequence() override;
  absl::StatusOr<std::vector<OutboxItem>> Outbox(std::int64_t after, int limit) override;
  absl::Status Settle(const OutboxItem& item, orders::v1::OrderState state) override;
  absl::StatusOr<SalesTotals> LoadTotals() override;
  absl::Status SaveTotals(const SalesTotals& totals) override;
  absl::Status Close() override { return connections_->Close(); }

 private:
  explicit SqliteOrderStore(std::unique_ptr<sqlite::Connections> connections)
      : connections_(std::move(connections)) {}

  const std::unique_ptr<sqlite::Connections> connections_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_SQLITE_ORDER_STORE_H_
