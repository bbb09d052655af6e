#ifndef SERVICE_OBSERVABILITY_SHUTDOWN_REPORT_H_
#define SERVICE_OBSERVABILITY_SHUTDOWN_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "report/v1/shutdown_report.pb.h"
#include "service/lifecycle/event.h"

namespace observability {

// Collects the events and phases of a shutdown, and of a manual drain before it, and makes the
// report of them (proto/report/v1/shutdown_report.proto).
//
// Threads: one at a time.
class ShutdownRecord {
 public:
  // kServing, for the first time or again, begins a new record.
  void OnEvent(const lifecycle::Event& event);
  void OnPhase(lifecycle::Phase phase, lifecycle::Clock::TimePoint at,
               std::optional<lifecycle::Clock::Duration> budget);

  report::v1::ShutdownReport Report(const std::string& program, const lifecycle::End& end,
                                    std::int64_t log_lines_lost) const;

 private:
  struct BegunPhase {
    lifecycle::Phase phase;
    lifecycle::Clock::TimePoint at;
    std::optional<lifecycle::Clock::Duration> budget;
  };

  std::vector<lifecycle::Event> events_;
  std::vector<BegunPhase> phases_;
};

// One line.
std::string ToJson(const report::v1::ShutdownReport& report);

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_SHUTDOWN_REPORT_H_
