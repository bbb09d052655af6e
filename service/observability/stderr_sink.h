#ifndef SERVICE_OBSERVABILITY_STDERR_SINK_H_
#define SERVICE_OBSERVABILITY_STDERR_SINK_H_

#include <unistd.h>

#include <chrono>
#include <mutex>
#include <string_view>

#include "spdlog/sinks/base_sink.h"

namespace observability {

// Where the log goes: stderr, or another file descriptor, and never for longer than
// it may.
//
// The problem: whoever reads a process's stderr may stop to (a full pipe, a terminal
// after Ctrl-S, a stuck collector), and a write would then block who logs: a handler,
// or the stop itself.
//
// Guarantees: a line waits for its reader for a tenth of a second at most, and not at
// all while the one before was lost; then it is lost. The next that is written is
// preceded by how many were. A line of any length arrives as a whole while somebody
// reads: it goes in pieces of 4 KiB (PIPE_BUF), each of which waits so long. Of one that
// is lost in its middle, nothing follows on the same line.
class StderrSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit StderrSink(int fd = STDERR_FILENO) : fd_(fd) {}

 private:
  void sink_it_(const spdlog::details::log_msg& message) override;
  void flush_() override {}

  // False: not all of it went.
  bool Write(std::string_view text, std::chrono::milliseconds patience);

  const int fd_;
  int lost_ = 0;            // Since the last line that was written.
  bool half_line_ = false;  // What was written last was not all of it.
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_STDERR_SINK_H_
