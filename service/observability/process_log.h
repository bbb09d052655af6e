#ifndef SERVICE_OBSERVABILITY_PROCESS_LOG_H_
#define SERVICE_OBSERVABILITY_PROCESS_LOG_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "report/v1/shutdown_report.pb.h"
#include "service/lifecycle/event.h"
#include "service/observability/log_writer.h"
#include "service/observability/report_file.h"
#include "service/observability/shutdown_report.h"
#include "service/observability/systemd_notifier.h"

namespace observability {

// Reports everything that a server says, from its start to its end. Each event is a line of its
// log,
//
//   2026-01-31T12:00:01.250Z I orders: shutdown +0.000s Serving             ShutdownRequested: terminate, ...
//   2026-01-31T12:00:01.251Z I orders: shutdown +0.001s LameDuck            LameDuckEntered
//
// among those of its libraries (library_logs.h). The report of its shutdown is one JSON object, in
// the last line of the log, "shutdown report: {...}", and in a file. If systemd has started the
// process, it is told as well (systemd_notifier.h). Before the report of a start that failed the log
// has "could not start: WHY", as an error, which every level shows.
//
// Guarantees: all of it goes through one LogWriter, so nothing waits for a reader. A report file
// that cannot be written is reported in the log, behind the report, and changes nothing else. Lines
// that a slow reader has not taken after half of the time that OnEnd() may take are dropped, so that
// the report arrives; it counts them. A disk or a log that hangs delays the end as
// Observer::OnEnd() may; a disk does not keep the report from the log. Where the file is the log
// itself (/dev/stderr), the JSON is a line of its own before the log's last one.
//
// Threads: any. Its mutex is never held while anything can block.
// Lifetime: the process's LogWriter lives until the process ends, as gRPC's threads do.
class ProcessLog final : public lifecycle::Observer {
 public:
  struct Options {
    // File that also receives the report; empty: none.
    std::string report_file = "";
    LogOptions log{};
    SystemdNotifier::Options systemd{};
  };

  // `program`: the name in the log and the report.
  //
  // Takes over the logs of spdlog, gRPC and Protobuf. Requires: one per process, which is
  // checked; created before anything is logged and before gRPC is used.
  ProcessLog(const std::string& program, const Options& options);

  // Takes over no library's log, and tells systemd nothing. `writer` outlives it.
  ProcessLog(std::string program, const std::string& report_file, LogWriter& writer,
             ReportFile::Writer write_file = ReportFile::WriteForOwner);

  // Where the lines go; lives until the process ends.
  LogWriter& writer() { return writer_; }

  // Prints a line on stdout for whoever started the program; dropped if nobody reads it.
  void Print(const std::string& words) const { writer_.Print(words); }

  // Logs a warning. Does not block. Works as long as the writer lives.
  std::function<void(const std::string& words)> Warner() const;

  // How many lines of the log were dropped so far: never fewer than before.
  std::int64_t lines_dropped() const { return writer_.Dropped(); }

  // The report of a shutdown, or a manual drain, that is under way: what has happened until now.
  // Without phases: there is none. It has no calls, and neither reason nor exit code yet.
  report::v1::ShutdownReport ReportSoFar() const;

  void OnProcess(const lifecycle::Process* process) override;
  void OnEvent(const lifecycle::Event& event) override;
  void OnPhase(lifecycle::Phase phase, lifecycle::Clock::TimePoint at,
               std::optional<lifecycle::Clock::Duration> budget) override;
  void OnPhaseLimit(lifecycle::Clock::TimePoint at, lifecycle::Clock::Duration left) override;
  void OnEnd(const lifecycle::End& end) override;

 private:
  const std::string program_;
  LogWriter& writer_;
  ReportFile file_;
  const bool file_is_log_;
  std::unique_ptr<SystemdNotifier> systemd_;  // Null: it expects nothing.
  mutable std::mutex mutex_;
  ShutdownRecord record_;                                    // Guarded by mutex_.
  std::optional<lifecycle::Clock::TimePoint> requested_at_;  // Guarded by mutex_.
  // Guarded by mutex_: when it began to do anything else than to serve.
  std::optional<lifecycle::Clock::TimePoint> left_serving_at_;
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_PROCESS_LOG_H_
