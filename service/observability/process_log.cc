#include "service/observability/process_log.h"

#include <chrono>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "service/observability/library_logs.h"
#include "spdlog/sinks/sink.h"
#include "spdlog/spdlog.h"

namespace observability {
namespace {

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

// Never destroyed: what still logs while the process ends has it to log to.
LogWriter* process_writer = nullptr;

LogWriter& SetUp(const std::string& program) {
  process_writer = new LogWriter(program);
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>(program, std::make_shared<Sink>(*process_writer)));
  TakeLibraryLogs(*process_writer);
  static const int registered =
      std::atexit([] { process_writer->Flush(std::chrono::milliseconds(100)); });
  static_cast<void>(registered);
  return *process_writer;
}

}  // namespace

ProcessLog::ProcessLog(const std::string& program, const std::string& report_file)
    : writer_(SetUp(program)), report_(program, report_file, writer_) {}

void ProcessLog::OnEvent(const lifecycle::Event& event) {
  report_.OnEvent(event);
  events_.OnEvent(event);
}

void ProcessLog::OnPhase(lifecycle::Phase phase, lifecycle::Clock::TimePoint at,
                         std::optional<lifecycle::Clock::Duration> budget) {
  report_.OnPhase(phase, at, budget);
}

void ProcessLog::OnEnd(const lifecycle::End& end) {
  SumUpLibraryLogs();
  report_.OnEnd(end);
}

}  // namespace observability
