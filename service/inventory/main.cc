// The inventory server: reads its flags, opens everything from the bottom up,
// serves until it is told to stop, and stops (service/lifecycle/shutdown_sequence.h).

#include <chrono>
#include <memory>
#include <string>

#include "absl/flags/declare.h"
#include "absl/flags/flag.h"
#include "absl/time/time.h"
#include "service/admin/admin_server.h"
#include "service/config/server_config.h"
#include "service/inventory/inventory_service.h"
#include "service/inventory/stock_flag.h"
#include "service/inventory/stock_store.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/signal_thread.h"
#include "service/observability/process_log.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"

ABSL_DECLARE_FLAG(std::string, address);
ABSL_FLAG(std::string, database, "inventory.sqlite3",
          "File that holds the stock; created if it does not exist.");
ABSL_FLAG(std::string, stock,
          "apple=1000000,banana=1000000,cherry=1000000,fig=1000000,pear=1000000",
          "Initial stock: SKU=QUANTITY, separated by commas; SKUs already in the database are left "
          "unchanged.");
ABSL_FLAG(absl::Duration, latency, absl::ZeroDuration(),
          "Delay before each Reserve begins, to simulate a slow backend.");

namespace {

inventory::StockStore::Quantities StockFromFlag() {
  auto stock = inventory::ParseStock(absl::GetFlag(FLAGS_stock));
  if (!stock.ok()) config::UsageError("--stock: " + std::string(stock.status().message()));
  return *std::move(stock);
}

std::chrono::milliseconds LatencyFromFlag() {
  const absl::Duration latency = absl::GetFlag(FLAGS_latency);
  const bool none = latency == absl::ZeroDuration();
  if (!none && (latency < absl::Milliseconds(1) || latency > absl::Hours(1))) {
    config::UsageError("--latency: must be 0, or from 1ms to 1h");
  }
  return absl::ToChronoMilliseconds(latency);
}

}  // namespace

int main(int argc, char** argv) {
  lifecycle::BlockShutdownSignals();                 // Before there is any other thread.
  absl::SetFlag(&FLAGS_address, "127.0.0.1:50052");  // Beside orders, which serves on 50051.
  config::ServerConfig config =
      config::ParseCommandLine("The stock that orders are served from.", argc, argv);
  const inventory::StockStore::Quantities stock = StockFromFlag();
  const std::chrono::milliseconds latency = LatencyFromFlag();
  observability::ProcessLog log("inventory", config.log);
  config.LogTo(log);
  lifecycle::Process process(config.budget, log);
  admin::AdminServer admin(process, config.admin);
  admin.pages().Show(log, config.flags);
  admin.pages().Show(config.tls);
  if (const absl::Status started = admin.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }
  using Clock = lifecycle::Clock;

  const auto store = inventory::StockStore::Open(absl::GetFlag(FLAGS_database));
  if (!store.ok()) return process.CouldNotStart(store.status());
  process.registry().Register("database",
                              [&](Clock::TimePoint deadline) { return (*store)->Close(deadline); });
  if (const absl::Status seeded =
          (*store)->Seed(stock, Clock::Steady().Now() + std::chrono::seconds(10));
      !seeded.ok()) {
    return process.CouldNotStart(seeded);
  }

  // Most threads wait for a commit, which those who wait at the same time share.
  rpc::BlockingPool pool(
      /*threads=*/32, /*capacity=*/10000,
      [&](const absl::Status& failure) { process.workers().Fail("store pool", failure); },
      /*max_wait=*/std::chrono::milliseconds(500));
  process.registry().Register("store pool",
                              [&](Clock::TimePoint deadline) { return pool.Close(deadline); });

  const auto service = std::make_shared<inventory::InventoryService>(**store, pool, latency);
  rpc::GoodbyeSignal goodbye;
  rpc::ServerHost server(config.server, {service}, goodbye);
  if (const absl::Status started = server.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }
  admin.pages().Show(server);
  log.Print("the inventory is bound to " + server.address() +
            "; call it: ./bazelw run //client -- stock --inventory=" + server.address());
  if (!admin.http_url().empty()) log.Print("operators: " + admin.http_url());
  return process.ServeUntilShutdown(server);
}
