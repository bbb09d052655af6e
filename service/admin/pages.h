#ifndef SERVICE_ADMIN_PAGES_H_
#define SERVICE_ADMIN_PAGES_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "service/admin/http_request.h"
#include "service/admin/http_server.h"
#include "service/admin/readiness.h"
#include "service/admin/status_page.h"
#include "service/lifecycle/process.h"
#include "service/observability/metrics.h"
#include "service/observability/process_log.h"
#include "service/rpc/server_host.h"
#include "service/rpc/tls_files.h"

namespace admin {

// What operators see of a process over HTTP; admin_server.h has the list.
//
// Threads: all methods may be called from any thread.
// Lifetime: what it is told to show outlives the closing of the admin server, which comes after
// that of everything else that is registered with the process.
class Pages {
 public:
  using Flags = std::vector<std::pair<std::string, std::string>>;

  explicit Pages(const lifecycle::Process& process) : process_(process) {}
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  // Before the server is started.
  void AddTo(HttpServer& http);

  // The shutdown as the log tells it, and the settings, without secrets.
  void Show(const observability::ProcessLog& log, Flags flags);

  // Calls and limits.
  void Show(const rpc::ServerHost& server);

  // When the certificate expires; null: there is none.
  void Show(std::shared_ptr<const rpc::TlsFiles> tls);

  void Add(ReadinessCheck check);

  observability::Metrics& metrics() { return metrics_; }

  // A number of your own for /metrics, read when somebody asks; must not block.
  void AddGauge(std::string name, std::string help, std::function<double()> read);

 private:
  HttpResponse Livez() const;
  HttpResponse Readyz(const HttpRequest& request) const;
  ServerStatus Status() const;
  std::vector<ReadinessCheck> checks() const;

  const lifecycle::Process& process_;
  observability::Metrics metrics_;
  mutable std::mutex mutex_;
  // All below: guarded by mutex_.
  std::vector<ReadinessCheck> checks_;
  Flags flags_;
  const observability::ProcessLog* log_ = nullptr;
  const rpc::ServerHost* server_ = nullptr;
};

}  // namespace admin

#endif  // SERVICE_ADMIN_PAGES_H_
