#ifndef SERVICE_OBSERVABILITY_PROCESS_LOG_H_
#define SERVICE_OBSERVABILITY_PROCESS_LOG_H_

#include <optional>
#include <string>

#include "service/lifecycle/observer.h"
#include "service/observability/drain_report.h"
#include "service/observability/lifecycle_log.h"

namespace observability {

// What a server tells of itself, from its start to its end: its log (lifecycle_log.h),
// and the report of its stop (drain_report.h). One in a process; make it before anything
// is logged.
//
// Threads: any.
class ProcessLog final : public lifecycle::Observer {
 public:
  // `program`: the name that the log and the report bear. `report_file`: where else the
  // report is written; empty: nowhere.
  ProcessLog(const std::string& program, const std::string& report_file)
      : report_(program, report_file, events_) {
    SetUpLog(program);
  }

  void OnEvent(const lifecycle::Event& event) override { report_.OnEvent(event); }
  void OnPhase(lifecycle::Phase phase, lifecycle::Clock::TimePoint at,
               std::optional<lifecycle::Clock::Duration> budget) override {
    report_.OnPhase(phase, at, budget);
  }
  void OnEnd(const lifecycle::End& end) override { report_.OnEnd(end); }

 private:
  LifecycleLog events_;
  DrainReport report_;
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_PROCESS_LOG_H_
