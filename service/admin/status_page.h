#ifndef SERVICE_ADMIN_STATUS_PAGE_H_
#define SERVICE_ADMIN_STATUS_PAGE_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "report/v1/shutdown_report.pb.h"
#include "service/lifecycle/process.h"

namespace admin {

// What `/statusz` shows.
struct ServerStatus {
  std::string program;
  std::string build;
  std::string started_at;  // "2026-11-28 17:30:00 UTC"
  std::chrono::seconds uptime{0};
  lifecycle::ProcessStatus process;
  std::string held_by;  // What a shutdown would wait for: Process::InFlight().

  struct Method {
    std::string name;
    std::int64_t running = 0;
    std::int64_t ended = 0;
    std::int64_t failed = 0;  // Ended with any status but OK.
    double mean_ms = 0;
    double slowest_ms = 0;  // Upper bound of the slowest call's bucket; may be infinite.
  };
  std::vector<Method> methods;

  struct Check {
    std::string name;
    absl::Status status;
  };
  std::vector<Check> checks;

  struct Limit {
    std::string what;
    std::int64_t refused = 0;
  };
  std::vector<Limit> limits;

  // Name and value; secrets are masked already.
  std::vector<std::pair<std::string, std::string>> flags;

  // The shutdown or manual drain that is under way; has no phases when there is none.
  report::v1::ShutdownReport report;
};

// One self-contained page of HTML; all text is escaped. A script refreshes its content every second;
// without scripts the page shows the moment of the request.
std::string RenderStatusPage(const ServerStatus& status);

}  // namespace admin

#endif  // SERVICE_ADMIN_STATUS_PAGE_H_
