#ifndef SERVICE_ORDERS_COMPOSITION_H_
#define SERVICE_ORDERS_COMPOSITION_H_

#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "grpcpp/impl/service_type.h"
#include "prometheus/metric_family.h"
#include "service/admin/pages.h"
#include "service/lifecycle/process.h"
#include "service/orders/config.h"
#include "service/orders/event_feed.h"
#include "service/orders/event_retention.h"
#include "service/orders/inventory_client.h"
#include "service/orders/order_placer.h"
#include "service/orders/order_store.h"
#include "service/orders/orders_service.h"
#include "service/orders/outbox_relay.h"
#include "service/orders/sales.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/tls/tls_files.h"

namespace orders {

// The whole orders service, opened from the bottom up and registered with the process: what to
// close, what to save, which workers to run.
//
// Lifetime: declared after the process and before the server, so that it outlives the calls.
class Composition {
 public:
  // Opens what --database and --inventory name. An error is one sentence with what is wrong and
  // what to do.
  static absl::StatusOr<std::unique_ptr<Composition>> Open(const Config& config,
                                                           lifecycle::Process& process,
                                                           const rpc::GoodbyeSignal& goodbye);

  std::shared_ptr<grpc::Service> service() { return service_; }

  // Shows operators whether the database, the inventory and the outbox are ready, and Prometheus the
  // outbox and the store. For as long as this lives, also when it is closed.
  void ShowOn(admin::Pages& pages);

 private:
  Composition(lifecycle::Process& process, std::shared_ptr<OrderStore> store,
              std::unique_ptr<Sales> sales, const Config& config,
              std::shared_ptr<const rpc::TlsFiles> tls, const rpc::GoodbyeSignal& goodbye);
  std::vector<prometheus::MetricFamily> ReadMetrics() const;

  // Each uses only what stands above it.
  const std::shared_ptr<OrderStore> store_;
  const std::unique_ptr<Sales> sales_;
  InventoryClient inventory_;
  EventFeed feed_;
  OutboxRelay relay_;
  EventRetention retention_;
  rpc::BlockingPool pool_;  // Work in it uses all of these.
  OrderPlacer placer_;
  const std::shared_ptr<OrdersService> service_;
};

}  // namespace orders

#endif  // SERVICE_ORDERS_COMPOSITION_H_
