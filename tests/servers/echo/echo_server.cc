// The same service as bare_server.cc, through the harness: the smallest server that
// it makes.
#include <memory>
#include <string>

#include "service/admin/admin_server.h"
#include "service/config/server_config.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/signal_thread.h"
#include "service/observability/process_log.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "tests/servers/echo/bench_service.h"

int main(int argc, char** argv) {
  lifecycle::BlockShutdownSignals();
  config::ServerConfig config =
      config::ParseCommandLine("Serves bench.Bench of tests/servers/echo/bench.proto.", argc, argv);
  observability::ProcessLog log("echo", config.log);
  config.LogTo(log);
  lifecycle::Process process(config.budget, log);
  admin::AdminServer admin(process, config.admin);
  admin.pages().Show(log, config.flags);
  admin.pages().Show(config.tls);
  if (const absl::Status started = admin.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }

  rpc::GoodbyeSignal goodbye;
  rpc::ServerHost server(config.server, {std::make_shared<bench::BenchService>()}, goodbye);
  if (const absl::Status started = server.Start(); !started.ok()) {
    return process.CouldNotStart(started);
  }
  admin.pages().Show(server);
  return process.ServeUntilShutdown(server);
}
