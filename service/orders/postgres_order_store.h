#ifndef SERVICE_ORDERS_POSTGRES_ORDER_STORE_H_
#define SERVICE_ORDERS_POSTGRES_ORDER_STORE_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
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
#include "service/postgres/listener.h"
#include "service/postgres/pool.h"
#include "service/postgres/url.h"
#include "service/postgres/writer.h"

namespace orders {

// Stores orders in a PostgreSQL database, for replicas on several hosts.
//
// The problem: PostgreSQL's own sequences give out numbers before the commit. A transaction with a
// lower number may commit after one with a higher, and a reader that has gone past it never sees its
// event; one that is rolled back leaves a gap. So the log's last number is a row. Who appends events
// locks that row, and so commits before the next one can number its own: events become visible in
// their order, without gaps, whichever replica writes them.
//
// The cost: transactions that append events are committed one after the other, in all replicas
// together, each after its own flush of the server's disk. So each replica commits together what
// waits (postgres::Writer), and a transaction is sent whole: a replica seldom holds the row while
// the server waits for it. One whose link goes silent in mid-transaction holds it until the server
// notices (see postgres::Connection). One that is frozen between two sends of a large transaction
// holds it until it goes on or dies; the server ends that only if it has a limit of its own
// (transaction_timeout of PostgreSQL 17). Reads and claims of the outbox wait for nobody.
//
// Place(), Cancel() and Settle() wait for the standbys that the server waits for. All else does not:
// a claim whose commit waited would keep its items from everybody, unconfirmed, until their
// reservations expire; and a claim, a trim or the totals that a standby lacks are made again.
//
// Threads and lifetime: those of OrderStore; it may be destroyed at any time without Close().
class PostgresOrderStore final : public OrderStore {
 public:
  struct Options {
    // Beside these, one connection writes what appends to the log, so that nobody else waits for
    // it, and one listens.
    std::size_t connections = 8;
    // How long Open() tries to reach a server that is not there yet, or is full. It waits for locks,
    // and for another process that makes the tables, as long as it takes, and logs that.
    std::chrono::milliseconds start_timeout{10'000};
  };

  // Errors: those of postgres::Pool::Open() and postgres::Migrate(), each a sentence for whoever
  // starts the server. PERMISSION_DENIED: also when a table may not be read.
  static absl::StatusOr<std::unique_ptr<PostgresOrderStore>> Open(const std::string& url,
                                                                  const Options& options);

  absl::StatusOr<Placed> Place(NewOrder order, Deadline deadline) override;
  absl::StatusOr<std::optional<orders::v1::Order>> FindByRequestId(const std::string& request_id,
                                                                   Deadline deadline) override;
  absl::StatusOr<std::optional<orders::v1::Order>> Find(const std::string& order_id,
                                                        Deadline deadline) override;
  absl::StatusOr<Page> List(std::int64_t from, int limit, Deadline deadline) override;
  absl::StatusOr<orders::v1::Order> Cancel(const std::string& order_id, Deadline deadline) override;
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
  std::int64_t Commits() const override {
    return static_cast<std::int64_t>(writer_.commits()) + commits_;
  }
  const std::string& DatabaseId() const override { return database_id_; }
  absl::Status Close(Deadline deadline) override;

 private:
  PostgresOrderStore(const postgres::Url& url, std::shared_ptr<postgres::Pool> pool,
                     std::shared_ptr<postgres::Pool> writers_pool, std::string database_id);
  absl::StatusOr<std::optional<orders::v1::Order>> FindWhere(const std::string& condition,
                                                             const std::string& value,
                                                             Deadline deadline);
  struct StoredTotals {
    SalesTotals totals;
    // Of the row; empty: its checksum is right.
    std::string damaged_version;
  };
  absl::StatusOr<StoredTotals> ReadTotals(Deadline deadline);
  // One transaction that appends no event. It waits for no standby.
  absl::StatusOr<std::vector<postgres::Rows>> Commit(std::vector<postgres::Statement> statements,
                                                     Deadline deadline);
  // The same, of one statement.
  absl::StatusOr<postgres::Rows> Change(postgres::Statement statement, Deadline deadline);
  void TellOfEvents();

  const std::shared_ptr<postgres::Pool> pool_;
  const std::shared_ptr<postgres::Pool> writers_pool_;
  const std::string database_id_;
  postgres::Writer writer_;
  std::atomic<std::int64_t> commits_{0};  // Beside the writer's.
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::int64_t news_ = 0;  // Guarded by mutex_. Counts reasons to look for events.
  std::mutex closing_;
  std::optional<absl::Status> closed_;  // Guarded by closing_. What Close() has returned.
  postgres::Listener listener_;         // Uses what is above.
};

}  // namespace orders

#endif  // SERVICE_ORDERS_POSTGRES_ORDER_STORE_H_
