#include "service/observability/process_log.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "service/lifecycle/last_resort/precondition.h"
#include "service/observability/library_logs.h"
#include "spdlog/sinks/sink.h"
#include "spdlog/spdlog.h"

namespace observability {
namespace {

using lifecycle::Clock;

// Both together: what ExitReporter::Leave() waits for another end that is being told.
constexpr Clock::Duration kLeastLimit = std::chrono::milliseconds(80);
constexpr Clock::Duration kLeastFlush = std::chrono::milliseconds(20);

class Sink final : public spdlog::sinks::sink {
 public:
  explicit Sink(LogWriter& writer) : writer_(writer) {}
  void log(const spdlog::details::log_msg& message) override {
    const char level = message.level >= spdlog::level::err    ? 'E'
                       : message.level == spdlog::level::warn ? 'W'
                       : message.level == spdlog::level::info ? 'I'
                                                              : 'D';
    writer_.Log(level, {message.payload.data(), message.payload.size()});
  }
  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  LogWriter& writer_;
};

// Never destroyed: threads may still log while the process ends.
LogWriter* process_writer = nullptr;

LogWriter& SetUp(const std::string& program, const LogOptions& options) {
  lifecycle::Require(process_writer == nullptr, "a process has one ProcessLog");
  process_writer = new LogWriter(program, STDERR_FILENO, options);
  spdlog::set_level(options.level == 'D' ? spdlog::level::debug : spdlog::level::info);
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>(program, std::make_shared<Sink>(*process_writer)));
  TakeLibraryLogs(*process_writer);
  static const int registered =
      std::atexit([] { process_writer->Flush(std::chrono::milliseconds(100)); });
  static_cast<void>(registered);
  return *process_writer;
}

// "shutdown +0.001s LameDuck            LameDuckEntered"
std::string Line(const lifecycle::Event& event, std::optional<Clock::TimePoint> requested_at) {
  std::string words = absl::StrFormat("%-19s %s", lifecycle::PhaseName(event.phase), event.name());
  if (requested_at) {
    const std::chrono::duration<double> since = event.at - *requested_at;
    words = absl::StrFormat("shutdown +%.3fs %s", since.count(), words);
  }
  if (!event.subject.empty()) absl::StrAppend(&words, " \"", event.subject, "\"");
  if (!event.detail.empty()) absl::StrAppend(&words, ": ", event.detail);
  return words;
}

}  // namespace

ProcessLog::ProcessLog(const std::string& program, const Options& options)
    : ProcessLog(program, options.report_file, SetUp(program, options.log)) {
  systemd_ = SystemdNotifier::FromEnvironment(options.systemd);
}

ProcessLog::ProcessLog(std::string program, const std::string& report_file, LogWriter& writer,
                       ReportFile::Writer write_file)
    : program_(std::move(program)),
      writer_(writer),
      file_(report_file, std::move(write_file)),
      file_is_log_(writer.WritesTo(report_file)) {}

std::function<void(const std::string& words)> ProcessLog::Warner() const {
  return [&writer = writer_](const std::string& words) { writer.Log('W', words); };
}

void ProcessLog::OnProcess(const lifecycle::Process* process) {
  if (systemd_ != nullptr) systemd_->OnProcess(process);
}

report::v1::ShutdownReport ProcessLog::ReportSoFar() const {
  lifecycle::End so_far;
  so_far.at = Clock::Steady().Now();
  std::lock_guard lock(mutex_);
  so_far.requested_at = requested_at_.value_or(left_serving_at_.value_or(so_far.at));
  return record_.Report(program_, so_far, writer_.Lost());
}

void ProcessLog::OnEvent(const lifecycle::Event& event) {
  if (systemd_ != nullptr) systemd_->OnEvent(event);
  std::string line;
  {
    std::lock_guard lock(mutex_);
    record_.OnEvent(event);
    if (event.type == lifecycle::EventType::kShutdownRequested) requested_at_ = event.at;
    line = Line(event, requested_at_);
  }
  writer_.Log(event.ok() ? 'I' : 'W', line);
}

void ProcessLog::OnPhase(lifecycle::Phase phase, Clock::TimePoint at,
                         std::optional<Clock::Duration> budget) {
  if (systemd_ != nullptr) systemd_->OnPhase(phase, at, budget);
  std::lock_guard lock(mutex_);
  record_.OnPhase(phase, at, budget);
  if (phase == lifecycle::Phase::kServing) {
    left_serving_at_.reset();
  } else if (!left_serving_at_) {
    left_serving_at_ = at;
  }
}

void ProcessLog::OnPhaseLimit(Clock::TimePoint at, Clock::Duration left) {
  if (systemd_ != nullptr) systemd_->OnPhaseLimit(at, left);
}

void ProcessLog::OnEnd(const lifecycle::End& end) {
  if (systemd_ != nullptr) systemd_->OnEnd(end);
  if (end.exit_code == lifecycle::ExitCode::kCouldNotStart) {
    writer_.Log('E', absl::StrCat("could not start: ", end.why));
  }
  SumUpLibraryLogs();
  const Clock::Duration limit = std::max(end.budget.reserve / 4, kLeastLimit);
  const Clock::TimePoint latest = Clock::Steady().Now() + limit;
  // Before the report, which says how many lines were lost, and must not wait behind those of a slow
  // reader; where the file is the log, its pieces have none beside them.
  writer_.FlushOrDrop(limit / 2);
  std::string json;
  {
    std::lock_guard lock(mutex_);
    json = ToJson(record_.Report(program_, end, writer_.Lost()));
  }
  const auto flush = [&] { writer_.Flush(std::max(latest - Clock::Steady().Now(), kLeastFlush)); };
  file_.Begin(json + "\n");
  if (file_is_log_) file_.Await(latest).IgnoreError();  // Below.
  writer_.LogReport(json);  // First: the watchdog may not wait for a disk that hangs.
  flush();
  if (const absl::Status written = file_.Await(latest); !written.ok()) {
    writer_.Log('W', absl::StrCat("shutdown report: ", std::string(written.message())));
    flush();
  }
}

}  // namespace observability
