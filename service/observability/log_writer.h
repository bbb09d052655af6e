#ifndef SERVICE_OBSERVABILITY_LOG_WRITER_H_
#define SERVICE_OBSERVABILITY_LOG_WRITER_H_

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "service/lifecycle/clock.h"

namespace observability {

// The one place through which a process's words go out: its own log lines, those of its
// libraries, its report, and what it prints.
//
// The problem: whoever reads stderr may stop to (a full pipe, a terminal after Ctrl-S, a
// stuck collector, a disk), and a write would then block a handler, or the shutdown itself.
// And what peers send ends up in log lines, with newlines and terminal sequences in it.
//
// Guarantees: nobody waits for a reader but a thread of its own, which is started with the
// writer. Lines wait for it in memory, 1 MiB at most; what does not fit is lost, and a line
// says how many were, where they would have been. Without a thread, a line is written by
// whoever logs it if it can be at once; else it waits for the next.
//
// Each line is "12:00:01.250 I orders: words". The words are made printable, so that one
// call is one line; they are cut off at 4 KiB (PIPE_BUF), so that a line reaches a pipe as a
// whole or not at all. Only a report may be longer, and only a report has "shutdown report: {"
// behind the program's name: no words that anybody logs can be taken for one.
//
// Threads: any. No lock is held while anything is written.
class LogWriter {
 public:
  // `program`: a name without spaces.
  explicit LogWriter(std::string program, int fd = STDERR_FILENO);
  // Flushes, for a moment at most.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // `level`: 'D', 'I', 'W' or 'E', as spdlog abbreviates them.
  void Log(char level, std::string_view words);

  // The report of the shutdown, however long it is and however much is waiting.
  // Requires: one line of JSON.
  void LogReport(std::string_view json);

  // A line for whoever started the program: to stdout, without time and name, or nowhere
  // when stdout cannot take it at once.
  void Print(std::string_view words) const;

  // Waits until everything has been written; gives up when `limit` is over, and as soon as
  // the reader has taken nothing for 100 ms. False: it gave up.
  bool Flush(lifecycle::Clock::Duration limit);

  // How many lines were lost so far, those included that nobody seems to read any more.
  std::int64_t Lost() const;

 private:
  class Queue;

  const std::string program_;
  const std::shared_ptr<Queue> queue_;  // Shared with the thread, which may hang for ever.
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_LOG_WRITER_H_
