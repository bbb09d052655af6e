#ifndef SERVICE_OBSERVABILITY_DRAIN_REPORT_H_
#define SERVICE_OBSERVABILITY_DRAIN_REPORT_H_

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "report/v1/drain_report.pb.h"
#include "service/lifecycle/observer.h"

namespace observability {

// Tells what a server did from the request to stop to its end, and in a drain by hand
// before it, as one JSON object: in the last line of the log, "drain report: {...}", and in a file. What it says:
// proto/report/v1/drain_report.proto.
//
// Guarantees: the file is there as a whole or not at all; one that cannot be written
// is said on stderr and changes nothing else. A disk or a log that hangs holds the
// end up for a quarter of the stop's reserve at most, or 100 ms if that is less.
//
// Threads: any. Its mutex is held for nothing that can block.
class DrainReport final : public lifecycle::Observer {
 public:
  // `program`: the name that the log has. `path`: the file; empty: none. `log` is
  // told everything, too, first; it outlives this.
  DrainReport(std::string program, std::string path, lifecycle::Observer& log);

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

  report::v1::DrainReport Report(const lifecycle::End& end);

  const std::string program_;
  const std::string path_;
  lifecycle::Observer& log_;
  std::mutex mutex_;
  // Since it served last, both guarded by mutex_.
  std::vector<lifecycle::Event> events_;
  std::vector<BegunPhase> phases_;
};

// `text` with whatever is not UTF-8 in it replaced by U+FFFD: JSON knows nothing else.
std::string ValidUtf8(const std::string& text);

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_DRAIN_REPORT_H_
