#ifndef SERVICE_ADMIN_PAGES_H_
#define SERVICE_ADMIN_PAGES_H_

#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "service/admin/http_request.h"
#include "service/admin/http_server.h"
#include "service/admin/readiness.h"
#include "service/admin/server_metrics.h"
#include "service/admin/status_page.h"
#include "service/lifecycle/process.h"
#include "service/observability/metrics.h"
#include "service/observability/process_log.h"
#include "service/rpc/server_host.h"
#include "service/rpc/tls/tls_files.h"

namespace admin {

// The pages that operators see over HTTP; admin_server.h lists them.
//
// Threads: all methods may be called from any thread.
// Lifetime: what is shown lives until the admin server is closed, which happens after everything
// else that is registered with the process.
class Pages {
 public:
  using Flags = std::vector<std::pair<std::string, std::string>>;

  explicit Pages(const lifecycle::Process& process) : process_(process) {}
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  // Adds the pages to `http`. Requires: `http` is not started yet.
  void AddTo(HttpServer& http);

  // Shows the shutdown as `log` records it, and the flags, whose secrets are already masked.
  void Show(const observability::ProcessLog& log, Flags flags);

  // Shows calls and limits; of several servers, their sums. Requires: its Start() has returned.
  void Show(const rpc::ServerHost& server);

  // Shows when the certificate expires. Null: there is none.
  void Show(std::shared_ptr<const rpc::TlsFiles> tls);

  // Runs `check` for each /readyz?verbose and /statusz. Plain /readyz waits for none.
  void Add(ReadinessCheck check);

  observability::Metrics& metrics() { return metrics_; }

  // Adds a value to /metrics. `read` is called for each scrape and must not block. While it throws, its
  // value is left out, which the log says once a minute.
  //
  // Requires: the name is that of no other gauge, does not begin as this server's own metrics do
  // (server_, grpc_server_, process_, log_, tls_), and has letters, digits, `_` and `:`, of which a
  // digit is not the first; the help is one line of UTF-8. Prometheus would refuse all metrics
  // because of one. So it would because of a name that metrics() has as well: what is added there is
  // not looked at.
  void AddGauge(std::string name, std::string help, std::function<double()> read);

 private:
  HttpResponse Livez() const;
  ServerStatus Status() const;
  std::vector<ReadinessCheck> checks() const;
  Servers servers() const;
  // Adds a gauge whose name may begin as this server's own do.
  void AddNamed(std::string name, std::string help, std::function<double()> read);
  void Warn(const std::string& line) const;

  const lifecycle::Process& process_;
  observability::Metrics metrics_;
  mutable std::mutex mutex_;
  // All below: guarded by mutex_.
  std::vector<ReadinessCheck> checks_;
  Flags flags_;
  const observability::ProcessLog* log_ = nullptr;
  Servers servers_;
  std::set<std::string> gauges_;  // Their names.
};

}  // namespace admin

#endif  // SERVICE_ADMIN_PAGES_H_
