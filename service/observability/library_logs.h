#ifndef SERVICE_OBSERVABILITY_LIBRARY_LOGS_H_
#define SERVICE_OBSERVABILITY_LIBRARY_LOGS_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

#include "service/lifecycle/clock.h"
#include "service/observability/log_writer.h"

namespace observability {

// The lines that gRPC and Protobuf log.
//
// The problem: by themselves they write to stderr and wait for its reader, on whatever
// thread they are on, one that accepts connections included; they do so for each bad
// request; and what the peer has sent stands in the line as it came.
//
// Guarantees: a line is "[grpc] chttp2_transport.cc:1234: words", a kilobyte of them at most.
// Of the lines of one place in the source kErrors a second are logged, or kDetails of those
// that are there because GRPC_VERBOSITY asks for them; the rest is counted, and a line says
// how many they were: with the next line of a library's, or by SumUp().
//
// Threads: any.
class LibraryLogs {
 public:
  static constexpr int kErrors = 10;
  static constexpr int kDetails = 1000;

  explicit LibraryLogs(LogWriter& writer,
                       const lifecycle::Clock& clock = lifecycle::Clock::Steady())
      : writer_(writer), clock_(clock) {}

  // `level`: as in LogWriter. `place`: "chttp2_transport.cc:1234", no peer's words.
  void Log(std::string_view library, char level, const std::string& place, std::string_view words);

  // Says how many lines were left out, those of the current second included.
  void SumUp();

 private:
  struct Place {
    lifecycle::Clock::TimePoint since{};  // When its current second began.
    int logged = 0;
    std::int64_t left_out = 0;
  };

  void SumUp(const std::string& name, Place& place);

  LogWriter& writer_;
  const lifecycle::Clock& clock_;
  std::mutex mutex_;
  std::map<std::string, Place> places_;  // Guarded by mutex_; as many as the source has.
};

// From now on gRPC and Protobuf log to `writer`, which lives until the process ends.
// GRPC_VERBOSITY says what gRPC logs, as ever. The last call counts.
void TakeLibraryLogs(LogWriter& writer);

// LibraryLogs::SumUp() of those that were taken.
void SumUpLibraryLogs();

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_LIBRARY_LOGS_H_
