#include "service/orders/composition.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <utility>

#include "service/observability/metrics.h"
#include "service/orders/postgres_order_store.h"
#include "service/orders/sqlite_order_store.h"
#include "service/postgres/url.h"
#include "service/rpc/reachability.h"
#include "spdlog/spdlog.h"

namespace orders {
namespace {

using lifecycle::Clock;
using lifecycle::ShutdownRegistry;

// Most of them wait for a commit, which those who wait at the same time share: as many orders as
// there are threads can be in one.
constexpr std::size_t kPoolThreads = 32;
// At a tenth of a millisecond each, more waiting work is older than its caller's
// patience.
constexpr std::size_t kPoolCapacity = 10000;
// New work is refused while older work waits longer than that: it would end after its caller has
// given up.
constexpr std::chrono::milliseconds kMaxWait(500);

absl::StatusOr<std::shared_ptr<OrderStore>> OpenStore(const Config& config) {
  if (postgres::Url::Is(config.database)) {
    return PostgresOrderStore::Open(
        config.database, {.connections = static_cast<std::size_t>(config.database_connections)});
  }
  return SqliteOrderStore::Open(config.database);
}

void TellWhetherReachable(InventoryClient& inventory, const std::string& address,
                          const std::stop_token& stop) {
  // For half a second, of which a shutdown waits for one look at most.
  constexpr std::chrono::milliseconds kLook(20);
  for (int looks = 0; looks < 25; ++looks) {
    if (stop.stop_requested()) return;
    if (inventory.AwaitConnected(Clock::Steady().Now() + kLook)) return;
  }
  spdlog::warn(
      "no inventory at {}: PlaceOrder and ImportOrders are refused with UNAVAILABLE until there is "
      "one; --inventory says where to look{}",
      address, rpc::Reachability::ProxyHint());
  inventory.SaidUnreachable();
}

// Null: plaintext.
absl::StatusOr<std::shared_ptr<rpc::TlsFiles>> InventoryTls(const Config& config) {
  rpc::TlsFiles::Paths paths = config.inventory_tls;
  if (paths.ca.empty()) return nullptr;
  paths.owner = rpc::TlsFiles::Owner::kClient;
  auto files = rpc::TlsFiles::Open(
      paths, [](const std::string& line) { spdlog::warn("inventory: {}", line); });
  if (files.ok()) return files;
  return absl::InvalidArgumentError("the TLS files for the inventory: " +
                                    std::string(files.status().message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Composition>> Composition::Open(const Config& config,
                                                               lifecycle::Process& process,
                                                               const rpc::GoodbyeSignal& goodbye) {
  auto opened = OpenStore(config);
  if (!opened.ok()) return opened.status();
  // Shared with its closer, which is called also when the rest cannot be opened.
  const std::shared_ptr<OrderStore> store = *std::move(opened);
  ShutdownRegistry& registry = process.registry();
  const ShutdownRegistry::Handle database = registry.Register(
      "database", [store](Clock::TimePoint deadline) { return store->Close(deadline); });

  auto sales = Sales::Load(*store, OrderStore::DefaultDeadline());
  if (!sales.ok()) return sales.status();
  auto tls = InventoryTls(config);
  if (!tls.ok()) return tls.status();
  std::unique_ptr<Composition> all(
      new Composition(process, store, *std::move(sales), config, *std::move(tls), goodbye));
  Composition& it = *all;

  const std::int64_t saved = it.feed_.last_sequence();
  const absl::StatusOr<std::int64_t> replayed = it.feed_.CatchUp();
  if (!replayed.ok()) return replayed.status();
  spdlog::info("sales totals: replayed {} events of the order log, after the {} that were saved",
               *replayed, saved);

  if (absl::Status looked = it.relay_.LookAtBacklog(); !looked.ok()) return looked;

  const ShutdownRegistry::Handle channel =
      registry.Register("inventory channel",
                        [&it](Clock::TimePoint deadline) { return it.inventory_.Close(deadline); },
                        {.uses = ShutdownRegistry::kUsesNothing});
  registry.Register("store pool",
                    [&it](Clock::TimePoint deadline) { return it.pool_.Close(deadline); },
                    {.uses = {{database, channel}}});
  process.SaveOnShutdown("sales totals", [&it](Clock::TimePoint deadline) {
    const absl::StatusOr<std::int64_t> last = it.feed_.CatchUp(deadline);
    return last.ok() ? it.sales_->Save(deadline) : last.status();
  });
  process.workers().Start("event feed", [&it](std::stop_token stop) { it.feed_.Run(stop); });
  process.workers().Start("outbox relay",
                          [&it, inventory = config.inventory](std::stop_token stop) {
                            TellWhetherReachable(it.inventory_, inventory, stop);
                            it.relay_.Run(stop);
                          });
  if (config.keep_events > 0) {
    process.workers().Start("event retention",
                            [&it](std::stop_token stop) { it.retention_.Run(stop); });
  }
  return all;
}

Composition::Composition(lifecycle::Process& process, std::shared_ptr<OrderStore> store,
                         std::unique_ptr<Sales> sales, const Config& config,
                         std::shared_ptr<const rpc::TlsFiles> tls,
                         const rpc::GoodbyeSignal& goodbye)
    : store_(std::move(store)),
      sales_(std::move(sales)),
      inventory_(config.inventory, goodbye.answer_now(), std::move(tls), config.inventory_tls_name),
      feed_(*store_, *sales_),
      relay_(*store_, inventory_),
      retention_(*store_, config.keep_events),
      pool_(
          kPoolThreads, kPoolCapacity,
          [&process](const absl::Status& failure) {
            process.workers().Fail("store pool", failure);
          },
          kMaxWait),
      placer_(*store_, inventory_, pool_,
              {.on_stored = [this] { relay_.Wake(); },
               .pushing_back = [this] { return relay_.Status().pushing_back; }}),
      service_(std::make_shared<OrdersService>(*store_, placer_, feed_, *sales_, pool_)) {}

void Composition::ShowOn(admin::Pages& pages) {
  // A page has 5 s, and says what is wrong only if it is complete by then.
  const auto database = [this] {
    constexpr std::chrono::milliseconds kMoment(500);
    return store_->LastSequence(Clock::Steady().Now() + kMoment).status();
  };
  const auto inventory = [this] {
    constexpr std::chrono::milliseconds kMoment(200);
    if (inventory_.AwaitConnected(Clock::Steady().Now() + kMoment)) return absl::OkStatus();
    return absl::UnavailableError("no connection: PlaceOrder and ImportOrders are refused");
  };
  const auto outbox = [this] { return relay_.Health(); };
  pages.Add({"database", database});
  pages.Add({"inventory", inventory});
  pages.Add({"outbox", outbox});
  pages.metrics().Add([this] { return ReadMetrics(); });
}

std::vector<prometheus::MetricFamily> Composition::ReadMetrics() const {
  using observability::Counter;
  using observability::Gauge;
  const OutboxStatus outbox = relay_.Status();
  const auto one = [](auto value) {
    return std::vector<observability::Sample>{{static_cast<double>(value)}};
  };
  return {Gauge("orders_outbox_items",
                "Orders whose reservation must still be confirmed or released.", one(outbox.depth)),
          Gauge("orders_outbox_oldest_seconds", "How long the oldest of them has waited.",
                one(std::chrono::duration<double>(outbox.oldest_age).count())),
          Gauge("orders_outbox_pushing_back", "1: new orders are refused until it has caught up.",
                one(outbox.pushing_back ? 1 : 0)),
          Counter("orders_outbox_settled_total", "Items that this replica has settled.",
                  one(outbox.settled)),
          Counter("orders_outbox_troubles_total",
                  "How often the database or the inventory has failed the outbox.",
                  one(outbox.troubles)),
          Counter("orders_store_commits_total", "Commits that this replica has begun.",
                  one(store_->Commits()))};
}

}  // namespace orders
