#ifndef SERVICE_ORDERS_SALES_H_
#define SERVICE_ORDERS_SALES_H_

#include <memory>
#include <mutex>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "service/orders/order_store.h"

namespace orders {

// How much of each SKU was sold, kept in memory and derived from the order log. It is the example
// of state that a shutdown must save while the database is still open. After a clean shutdown the
// next start has nothing to replay; after kill -9, only the tail.
//
// Threads: all methods may be called from any thread; Load() and Save() may block on a disk.
class Sales {
 public:
  // Loads what was last saved; what is damaged is computed anew, which no deadline limits. `store`
  // outlives it.
  static absl::StatusOr<std::unique_ptr<Sales>> Load(OrderStore& store,
                                                     OrderStore::Deadline deadline);

  // Adds the next event of the log. Events that were already added change nothing.
  void Apply(const OrderEvent& event);

  SalesTotals totals() const;

  // Goes on from what was last saved, if that is further: for a log whose next events were removed.
  absl::Status CatchUpWithSaved(OrderStore::Deadline deadline);

  absl::Status Save(OrderStore::Deadline deadline);

 private:
  Sales(OrderStore& store, SalesTotals totals);

  OrderStore& store_;
  mutable std::mutex mutex_;
  SalesTotals totals_;  // Guarded by mutex_.
};

}  // namespace orders

#endif  // SERVICE_ORDERS_SALES_H_
