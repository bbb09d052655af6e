#include "service/observability/lifecycle_log.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/lifecycle/phase.h"
#include "spdlog/spdlog.h"

namespace observability {

void LifecycleLog::OnEvent(const lifecycle::Event& event) {
  std::string words = lifecycle::PhaseName(event.phase);
  words.resize(19, ' ');
  {
    std::lock_guard lock(mutex_);
    if (event.type == lifecycle::EventType::kShutdownRequested) requested_at_ = event.at;
    if (requested_at_) {
      const std::chrono::duration<double> since = event.at - *requested_at_;
      words = absl::StrFormat("shutdown +%.3fs %s", since.count(), words);
    }
  }
  words += absl::StrCat(" ", event.name());
  if (!event.subject.empty()) words += " \"" + event.subject + "\"";
  if (!event.detail.empty()) words += ": " + event.detail;
  spdlog::log(event.ok() ? spdlog::level::info : spdlog::level::warn, "{}", words);
}

}  // namespace observability
