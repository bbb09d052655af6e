#ifndef SERVICE_OBSERVABILITY_LIBRARY_LOGS_H_
#define SERVICE_OBSERVABILITY_LIBRARY_LOGS_H_

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "service/lifecycle/clock.h"
#include "service/observability/log_writer.h"

namespace observability {

// Forwards the lines that gRPC and Protobuf log to the process's log, escaped and rate-limited.
//
// The problem: on their own they write to stderr and wait for its reader, on whatever thread they
// are on, including one that accepts connections; they do so for every bad request; and what a peer
// has sent appears in the line unescaped.
//
// Guarantees: a line is "[grpc] chttp2_transport.cc:1234: words", with at most a kilobyte of words.
// For each place in the source, kErrors lines a second are logged, or kDetails of those that appear
// because GRPC_VERBOSITY asks for them. The rest is counted, and a line says how many there were:
// before the library's next line, or in SumUp().
//
// Threads: any.
class LibraryLogs {
 public:
  static constexpr int kErrors = 10;
  static constexpr int kDetails = 1000;

  explicit LibraryLogs(LogWriter& writer,
                       const lifecycle::Clock& clock = lifecycle::Clock::Steady())
      : writer_(writer), clock_(clock) {}

  // `level`: as in LogWriter. `place`: "chttp2_transport.cc:1234", never a peer's words.
  void Log(std::string_view library, char level, const std::string& place, std::string_view words);

  // Logs how many lines were left out, including the current second.
  void SumUp();

 private:
  struct Place {
    lifecycle::Clock::TimePoint since{};  // The start of its current second.
    int logged = 0;
    std::int64_t left_out = 0;
  };

  void SumUp(const std::string& name, Place& place);

  LogWriter& writer_;
  const lifecycle::Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Place> places_;  // Guarded by mutex_; bounded by the places in the source.
};

// Makes gRPC and Protobuf log to `writer`, which lives until the process ends. GRPC_VERBOSITY
// decides what gRPC logs, as usual. The last call wins.
void TakeLibraryLogs(LogWriter& writer);

// Calls LibraryLogs::SumUp() for the logs that were taken.
void SumUpLibraryLogs();

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_LIBRARY_LOGS_H_
