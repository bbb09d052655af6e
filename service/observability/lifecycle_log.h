#ifndef SERVICE_OBSERVABILITY_LIFECYCLE_LOG_H_
#define SERVICE_OBSERVABILITY_LIFECYCLE_LOG_H_

#include <mutex>
#include <optional>
#include <string>

#include "service/lifecycle/event.h"

namespace observability {

// Writes the events of a process to its log (spdlog's default logger), one line for each:
//
//   12:00:01.250 I orders: shutdown +0.000s Serving             ShutdownRequested: terminate, lame_duck 5s + ...
//   12:00:01.251 I orders: shutdown +0.001s LameDuck            LameDuckEntered
class LifecycleLog final : public lifecycle::Observer {
 public:
  void OnEvent(const lifecycle::Event& event) override;

 private:
  std::mutex mutex_;
  std::optional<lifecycle::Clock::TimePoint> requested_at_;  // Guarded by mutex_.
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_LIFECYCLE_LOG_H_
