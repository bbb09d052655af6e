#include "service/observability/lifecycle_log.h"

#include <chrono>
#include <memory>

#include "absl/strings/str_format.h"
#include "service/lifecycle/phase.h"
#include "service/observability/stderr_sink.h"
#include "spdlog/spdlog.h"

namespace observability {

void SetUpLog(const std::string& program) {
  auto logger = std::make_shared<spdlog::logger>(program, std::make_shared<StderrSink>());
  logger->set_pattern("%H:%M:%S.%e %L %n: %v");
  spdlog::set_default_logger(std::move(logger));
}

void LifecycleLog::OnEvent(const lifecycle::Event& event) {
  std::lock_guard lock(mutex_);
  if (event.name == "StopRequested") requested_at_ = event.at;
  std::string words = lifecycle::PhaseName(event.phase);
  words.resize(11, ' ');
  if (requested_at_) {
    const std::chrono::duration<double> since = event.at - *requested_at_;
    words = absl::StrFormat("stop +%.3fs %s", since.count(), words);
  }
  words += " " + event.name;
  if (!event.subject.empty()) words += " \"" + event.subject + "\"";
  if (!event.detail.empty()) words += ": " + event.detail;
  spdlog::log(event.ok ? spdlog::level::info : spdlog::level::warn, "{}", words);
}

}  // namespace observability
