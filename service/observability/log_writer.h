#ifndef SERVICE_OBSERVABILITY_LOG_WRITER_H_
#define SERVICE_OBSERVABILITY_LOG_WRITER_H_

#include <unistd.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "service/lifecycle/clock.h"

namespace observability {

// What a line says besides its words; of the names, the program decides.
struct LogField {
  std::string_view name;  // Outlives the line: a literal.
  std::string value;
  bool is_number = false;  // In JSON: without quotes.
};
using LogFields = std::vector<LogField>;

struct LogOptions {
  // JSON Lines for machines instead of text for people.
  bool json = false;
  // The least level that is logged. A report always is.
  char level = 'I';
  // Returns what else each line carries that is logged on this thread: of which call it is. Null:
  // nothing.
  std::function<LogFields()> tags = nullptr;
};

// Writes everything that a process says, without ever waiting for a reader: its own log lines,
// those of its libraries, its report, and what it prints.
//
// The problem: whoever reads stderr may stop (a full pipe, a terminal after Ctrl-S, a stuck log
// collector, a disk), and a write would then block a handler, or the shutdown itself. And what
// peers send ends up in log lines, including newlines and terminal sequences.
//
// Guarantees: only a thread of its own, which is started with the writer, and Flush() wait for a
// reader. Up to 1 MiB of lines waits for them in memory; further lines are dropped, and a line in
// their place says how many. Without that thread, the logging thread writes the line if that is
// possible at once; otherwise the line waits for the next one.
//
// Each line is "2026-01-31T12:00:01.250Z I orders: words name=value", or a JSON object:
//
//   {"time":"2026-01-31T12:00:01.250Z","level":"info","program":"orders","message":"words"}
//
// Times are UTC. The words are made printable, so that one call is one line, and of text each value
// is one word ("\x20" for a space), so that a value makes no other field. A line is cut at 4 KiB
// (PIPE_BUF), so that a line reaches a pipe completely or not at all. Only a report may be longer,
// and only a report has "shutdown report: {" after the program's name, or "shutdown_report" as the
// fourth member: no other text can be mistaken for one.
//
// Threads: any. No lock is held while anything is written.
class LogWriter {
 public:
  // `program`: a name without spaces.
  explicit LogWriter(std::string program, int fd = STDERR_FILENO, LogOptions options = {});
  // Flushes, but only for a moment.
  ~LogWriter();
  LogWriter(const LogWriter&) = delete;
  LogWriter& operator=(const LogWriter&) = delete;

  // `level`: 'D', 'I', 'W' or 'E', as spdlog abbreviates them. Does nothing below LogOptions::level.
  void Log(char level, std::string_view words, LogFields fields = {});

  // Logs the shutdown report, however long it is and however much is waiting. Requires: one line of
  // JSON.
  void LogReport(std::string_view json);

  // Prints a line for whoever started the program: to stdout, without time and name. Drops it when
  // stdout cannot accept it at once.
  void Print(std::string_view words) const;

  // Writes everything that the thread has not written yet, for which there may be no time on a busy
  // machine; gives up after `limit`, or as soon as the reader has accepted nothing for 100 ms.
  // False: it gave up.
  bool Flush(lifecycle::Clock::Duration limit);

  // The same, but if it gives up and there is no room for more, it drops what is left, except a line of
  // which it cannot know how much is written: what is logged next is not behind lines that a slow
  // reader will not take in time. A line says how many, before the next one.
  bool FlushOrDrop(lifecycle::Clock::Duration limit);

  // Whether the lines go to the file that `path` names or links to.
  bool WritesTo(const std::string& path) const;

  // How many lines were dropped so far: never fewer than before.
  std::int64_t Dropped() const;

  // The same, and waiting ones that nobody seems to read any more: what is lost if the process ends
  // now.
  std::int64_t Lost() const;

 private:
  class Queue;

  const std::string program_;
  const LogOptions options_;
  const std::shared_ptr<Queue> queue_;  // Shared with the thread, which may hang forever.
};

}  // namespace observability

#endif  // SERVICE_OBSERVABILITY_LOG_WRITER_H_
