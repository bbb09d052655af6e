// The orders server: reads its flags, opens everything from the bottom up, serves
// until it is told to stop, and stops (service/lifecycle/shutdown_sequence.h).

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "service/admin/admin_server.h"
#include "service/config/server_config.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/signal_thread.h"
#include "service/observability/process_log.h"
#include "service/orders/composition.h"  // example
#include "service/orders/config.h"       // example
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"

int main(int argc, char** argv) {
  lifecycle::BlockShutdownSignals();  // Before there is any other thread.
  config::ServerConfig config =
      config::ParseCommandLine("A gRPC service with a graceful shutdown.", argc, argv);
  const auto orders_config = orders::ConfigFromFlags();                           // example
  if (!orders_config.ok()) config::UsageError(orders_config.status().message());  // example
  observability::ProcessLog log("orders", config.log);
  config.LogTo(log);
  lifecycle::Process process(config.budget, log);
  admin::AdminServer admin(process, config.admin);
  admin.pages().Show(log, config.flags);
  admin.pages().Show(config.tls);
  if (const absl::Status started = admin.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }

  rpc::GoodbyeSignal goodbye;
  std::vector<std::shared_ptr<grpc::Service>> services;
  auto orders = orders::Composition::Open(*orders_config, process, goodbye);  // example
  if (!orders.ok()) return process.CouldNotStart(orders.status());            // example
  services.push_back((*orders)->service());                                   // example
  (*orders)->ShowOn(admin.pages());                                           // example

  rpc::ServerHost server(config.server, std::move(services), goodbye);
  if (const absl::Status started = server.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }
  admin.pages().Show(server);
  const std::string address = server.address();
  log.Print("bound to " + address);  // It is open when the log says Serving.
  log.Print("call it: ./bazelw run //client -- list --address=" + address);  // example
  if (!admin.http_url().empty()) log.Print("operators: " + admin.http_url());
  return process.ServeUntilShutdown(server);
}
