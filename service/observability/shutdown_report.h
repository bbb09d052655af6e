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

// Tells what a server did from the request to stop to its end, and in a manual drain
// before it, as one JSON object: in the last line of the log, "shutdown report: {...}", and in a file. What it says:
// proto/report/v1/shutdown_report.proto.
//
// Guarantees: a file that cannot be written is said in the log and changes nothing else. A
// disk or a log that hangs holds the end up for a quarter of the shutdown's reserve at most, or
// 100 ms if that is more.
//
// Threads: any. Its mutex is held for nothing that can block.
class ShutdownReport final : public lifecycle::Observer {
 public:
  // `program`: the name that the log has. `path`: the file; empty: none. `log` outlives
  // this.
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
  // Since it served last, both guarded by mutex_.
  std::vector<lifecycle::Event> events_;
  std::vector<BegunPhase> phases_;
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_SHUTDOWN_REPORT_H_
