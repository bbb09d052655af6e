#ifndef SERVICE_ADMIN_ADMIN_SERVER_H_
#define SERVICE_ADMIN_ADMIN_SERVER_H_

#include <string>

#include "absl/status/status.h"
#include "service/admin/admin_service.h"
#include "service/admin/http_server.h"
#include "service/admin/pages.h"
#include "service/lifecycle/process.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"

namespace admin {

// The addresses for operators: gRPC to drain the process, and HTTP to look at it. They are servers
// of their own, which stay available while the process drains.
//
//   gRPC     admin.v1.AdminService; grpc.health.v1 for "livez"
//   /livez   200 as long as the process may be left to itself (Process::Alive()). Also when it is
//            drained or shuts down: a platform that killed it then would cut the calls that it
//            waits for
//   /readyz  readiness.h; `?verbose` runs the checks
//   /statusz one page that shows all of it, live (status_page.h); also at /
//   /metrics for Prometheus
//
// Guarantees: they are closed after everything else that the process has opened, HTTP last, and
// delay the shutdown only for a moment, whoever is connected. HTTP changes nothing in the process.
//
// Requires: started before anything else is registered with `process`.
// Threads and lifetime: used on main's thread; declared after `process`, before everything else.
class AdminServer {
 public:
  // Each server: nothing if its address is empty.
  struct Options {
    rpc::ServerHost::Options grpc{.address = ""};
    HttpServer::Options http{};
  };

  AdminServer(lifecycle::Process& process, Options options);

  // Errors: those of ServerHost::Start(), Open() and HttpServer::Start().
  absl::Status Start();

  // What to show over HTTP.
  Pages& pages() { return pages_; }

  // "http://127.0.0.1:41234/"; empty: there is no HTTP.
  std::string http_url() const;

 private:
  absl::Status StartGrpc();
  absl::Status StartHttp();
  absl::Status CloseGrpc();

  lifecycle::Process& process_;
  const bool grpc_wanted_;
  const bool http_wanted_;
  const rpc::ConnectionLimits limits_;
  rpc::GoodbyeSignal closing_;
  rpc::ServerHost host_;
  Pages pages_;
  HttpServer http_;
};

}  // namespace admin

#endif  // SERVICE_ADMIN_ADMIN_SERVER_H_
