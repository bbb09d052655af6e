#ifndef SERVICE_ADMIN_STATUS_PAGE_H_
#define SERVICE_ADMIN_STATUS_PAGE_H_

#include <chrono>
#include <cstdint>
#include <optional>
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
  std::string held_by;  // What a shutdown waits for: Process::InFlight().

  struct Method {
    std::string name;
    std::int64_t running = 0;
    std::int64_t ended = 0;
    std::int64_t failed = 0;  // Of these, with anything but OK.
    double mean_ms = 0;
    double slowest_ms = 0;  // The bound of the slowest call's bucket; infinite: above all.
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

  // Of the shutdown or the manual drain that is under way; without phases: of none.
  report::v1::ShutdownReport report;
};

// One page of HTML: nothing is loaded from elsewhere, all text is escaped. A script replaces what it
// shows every second; without it, the page is as of when it was asked for.
std::string RenderStatusPage(const ServerStatus& status);

}  // namespace admin

#endif  // SERVICE_ADMIN_STATUS_PAGE_H_
