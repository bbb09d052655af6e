#ifndef SERVICE_OBSERVABILITY_PROCESS_LOG_H_
#define SERVICE_OBSERVABILITY_PROCESS_LOG_H_

#include <optional>
#include <string>

#include "service/lifecycle/event.h"
#include "service/observability/lifecycle_log.h"
#include "service/observability/log_writer.h"
#include "service/observability/shutdown_report.h"

namespace observability {

// Reports everything that a server says, from its start to its end: its log (lifecycle_log.h),
// those of its libraries (library_logs.h), and the report of its shutdown (shutdown_report.h). All
// of it goes through one LogWriter, so nothing waits for a reader. One per process; create it
// before anything is logged and before gRPC is used.
//
// Threads: any.
// Lifetime: its LogWriter lives until the process ends, as gRPC's threads do.
class ProcessLog final : public lifecycle::Observer {
 public:
  // `program`: the name in the log and the report. `report_file`: file that also receives the
  // report; empty: none.
  ProcessLog(const std::string& program, const std::string& report_file);

  // Prints a line on stdout for whoever started the program; dropped if nobody reads it.
  void Print(const std::string& words) const { writer_.Print(words); }

  // Logs a warning. Does not block.
  void Warn(const std::string& words) const { writer_.Log('W', words); }

  void OnEvent(const lifecycle::Event& event) override;
  void OnPhase(lifecycle::Phase phase, lifecycle::Clock::TimePoint at,
               std::optional<lifecycle::Clock::Duration> budget) override;
  void OnEnd(const lifecycle::End& end) override;

 private:
  LogWriter& writer_;
  LifecycleLog events_;
  ShutdownReport report_;
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_PROCESS_LOG_H_
