#ifndef SERVICE_OBSERVABILITY_SHUTDOWN_REPORT_H_
#define SERVICE_OBSERVABILITY_SHUTDOWN_REPORT_H_

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "report/v1/shutdown_report.pb.h"
#include "service/lifecycle/event.h"
#include "service/observability/log_writer.h"
#include "service/observability/report_file.h"

namespace observability {

// Reports a shutdown as one JSON object, from the shutdown request to the end of the process,
// including a manual drain before it: in the last line of the log, "shutdown report: {...}", and in
// a file. proto/report/v1/shutdown_report.proto describes its content.
//
// Guarantees: a file that cannot be written is reported in the log and changes nothing else. A disk
// or a log that hangs delays the end by at most a quarter of the shutdown's reserve, or 100 ms if
// that is more.
//
// Threads: any. Its mutex is never held while anything can block.
class ShutdownReport final : public lifecycle::Observer {
 public:
  // `program`: the name in the log. `path`: the file; empty: none. `log` outlives this.
  ShutdownReport(std::string program, const std::string& path, LogWriter& log);

  void OnEvent(const lifecycle::Event& event) override;
  void OnPhase(lifecycle::Phase phase, lifecycle::Clock::TimePoint at,
               std::optional<lifecycle::Clock::Duration> budget) override;
  void OnEnd(const lifecycle::End& end) override;

 private:
  struct BegunPhase {
    lifecycle::Phase phase;
    lifecycle::Clock::TimePoint at;
    std::optional<lifecycle::Clock::Duration> budget;
  };

  report::v1::ShutdownReport Report(const lifecycle::End& end);

  const std::string program_;
  LogWriter& log_;
  ReportFile file_;
  std::mutex mutex_;
  // Since the process last served; both guarded by mutex_.
  std::vector<lifecycle::Event> events_;
  std::vector<BegunPhase> phases_;
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_SHUTDOWN_REPORT_H_
