#ifndef CLIENT_SHUTDOWN_REPORT_H_
#define CLIENT_SHUTDOWN_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "report/v1/shutdown_report.pb.h"

namespace client {

// Reads a shutdown report: the JSON itself, or a server's log as it has written it, whose last
// report counts. In a log only what the process itself has said there is believed: a line of
// its own, with time, level and the name that is in the report.
//
// Errors: INVALID_ARGUMENT, one line that says what is wrong.
absl::StatusOr<report::v1::ShutdownReport> ReadShutdownReport(const std::string& text);

// A report as a drawing has it, whatever it is drawn with: rows below each other, on
// one axis of time, in milliseconds from the request to stop.
struct Timeline {
  struct Row {
    std::string label{};
    // A closer or a saver, below its phase.
    bool nested = false;
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    // Until when it might have taken; never less than `start`, and 0 when nothing
    // says it.
    std::uint64_t budget_end = 0;
    // "1.31 s of 5 s"
    std::string time{};
    // Something was cut off, failed or hung; and what, in a few words.
    bool forced = false;
    std::string mark{};
  };
  // What it is, how it went, and the calls: lines of text.
  std::vector<std::string> title{};
  std::vector<Row> rows{};
  std::vector<std::string> summary{};
  // The end of the axis, and where it is marked, 0 included.
  std::uint64_t length = 0;
  std::vector<std::uint64_t> ticks{};
};

Timeline TimelineOf(const report::v1::ShutdownReport& report);

// "28 ms", "1.31 s", "12 s", "2 min 5 s".
std::string TimeText(std::uint64_t milliseconds);

}  // namespace client

#endif  // CLIENT_SHUTDOWN_REPORT_H_
