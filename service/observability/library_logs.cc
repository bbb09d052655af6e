#include "service/observability/library_logs.h"

#include <atomic>
#include <chrono>
#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "grpcpp/version_info.h"

// Newer gRPC and Protobuf log through Abseil, each since a different version.
#define GRPC_LOGS_ITSELF (GRPC_CPP_VERSION_MAJOR == 1 && GRPC_CPP_VERSION_MINOR < 66)
#define PROTOBUF_LOGS_ITSELF __has_include("google/protobuf/stubs/logging.h")
#define ABSEIL_LOGS __has_include("absl/log/log_sink_registry.h")

#if GRPC_LOGS_ITSELF
#include "grpc/support/log.h"
#endif
#if PROTOBUF_LOGS_ITSELF
#include "google/protobuf/stubs/logging.h"
#endif
#if ABSEIL_LOGS
#include "absl/base/log_severity.h"
#include "absl/log/globals.h"
#include "absl/log/initialize.h"
#include "absl/log/log_entry.h"
#include "absl/log/log_sink.h"
#include "absl/log/log_sink_registry.h"
#endif

namespace observability {
namespace {

constexpr std::size_t kMaxWords = 1000;

std::atomic<LibraryLogs*> taken{nullptr};
std::atomic<LogWriter*> taken_writer{nullptr};

std::string PlaceOf(std::string_view file, int line) {
  return absl::StrCat(std::string(file.substr(file.rfind('/') + 1)), ":", line);
}

// For a library that aborts the process right after this line. A busy machine may run the writer's
// thread late; a reader who does not read ends the wait sooner.
void FlushLastWords() { taken_writer.load()->Flush(std::chrono::seconds(1)); }

#if GRPC_LOGS_ITSELF
void OnGrpcLog(gpr_log_func_args* args) {
  const char level = args->severity == GPR_LOG_SEVERITY_ERROR  ? 'E'
                     : args->severity == GPR_LOG_SEVERITY_INFO ? 'I'
                                                               : 'D';
  const std::string_view words = args->message;
  taken.load()->Log("grpc", level, PlaceOf(args->file, args->line), words);
  if (words.starts_with("assertion failed")) FlushLastWords();
}
#endif

#if PROTOBUF_LOGS_ITSELF
void OnProtobufLog(google::protobuf::LogLevel level, const char* file, int line,
                   const std::string& words) {
  constexpr char kLevels[] = {'I', 'W', 'E', 'E'};
  taken.load()->Log("protobuf", kLevels[level], PlaceOf(file, line), words);
  if (level == google::protobuf::LOGLEVEL_FATAL) FlushLastWords();
}
#endif

#if ABSEIL_LOGS
class AbseilSink final : public absl::LogSink {
 public:
  void Send(const absl::LogEntry& entry) override {
    // As gRPC's own log did: only errors, unless GRPC_VERBOSITY asks for more.
    static const bool verbose = std::getenv("GRPC_VERBOSITY") != nullptr;
    if (entry.log_severity() < absl::LogSeverity::kError && !verbose) return;
    constexpr char kLevels[] = {'I', 'W', 'E', 'E'};
    const char level =
        entry.verbosity() >= 0 ? 'D' : kLevels[static_cast<int>(entry.log_severity())];
    const std::string words(entry.text_message());
    taken.load()->Log("absl", level,
                      PlaceOf(std::string(entry.source_filename()), entry.source_line()), words);
    if (entry.log_severity() == absl::LogSeverity::kFatal) FlushLastWords();
  }
};

void TakeAbseilLogs() {
  // Once in a process, as InitializeLog() demands. A sink is never removed.
  static AbseilSink* const sink = [] {
    absl::InitializeLog();
    absl::SetStderrThreshold(absl::LogSeverityAtLeast::kInfinity);
    auto* const added = new AbseilSink();
    absl::AddLogSink(added);
    return added;
  }();
  static_cast<void>(sink);
}
#endif

}  // namespace

void LibraryLogs::Log(std::string_view library, char level, const std::string& place,
                      std::string_view words) {
  const std::string name = absl::StrCat("[", std::string(library), "] ", place);
  const lifecycle::Clock::TimePoint now = clock_.Now();
  std::lock_guard lock(mutex_);
  for (auto& [each, its] : places_) {
    if (now - its.since >= std::chrono::seconds(1)) SumUp(each, its);
  }
  Place& its = places_[name];
  if (now - its.since >= std::chrono::seconds(1)) its = {.since = now};
  if (its.logged >= (level == 'D' || level == 'I' ? kDetails : kErrors)) {
    ++its.left_out;
    return;
  }
  ++its.logged;
  // GRPC_VERBOSITY has asked for details; --log_level is for the program's own.
  writer_.Log(level == 'D' ? 'I' : level,
              absl::StrCat(name, ": ", std::string(words.substr(0, kMaxWords))));
}

void LibraryLogs::SumUp() {
  std::lock_guard lock(mutex_);
  for (auto& [name, place] : places_) SumUp(name, place);
}

void LibraryLogs::SumUp(const std::string& name, Place& place) {
  if (place.left_out == 0) return;
  writer_.Log('W', absl::StrCat(name, ": ", place.left_out, " more lines"));
  place.left_out = 0;
}

void TakeLibraryLogs(LogWriter& writer) {
  taken_writer = &writer;
  taken = new LibraryLogs(writer);  // Never destroyed: gRPC's threads may be using it.
#if GRPC_LOGS_ITSELF
  gpr_set_log_function(&OnGrpcLog);
#endif
#if PROTOBUF_LOGS_ITSELF
  google::protobuf::SetLogHandler(&OnProtobufLog);
#endif
#if ABSEIL_LOGS
  TakeAbseilLogs();
#endif
}

void SumUpLibraryLogs() {
  if (LibraryLogs* const logs = taken) logs->SumUp();
}

}  // namespace observability
