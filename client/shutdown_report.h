#ifndef CLIENT_SHUTDOWN_REPORT_H_
#define CLIENT_SHUTDOWN_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "report/v1/shutdown_report.pb.h"

namespace client {

// Reads a shutdown report: either the JSON itself, or a server's log exactly as written, whose last
// report counts. In a log it trusts only what the process itself wrote: a line of its own, with the
// time, the level and the name that is in the report.
//
// Errors: INVALID_ARGUMENT, one line that says what is wrong.
absl::StatusOr<report::v1::ShutdownReport> ReadShutdownReport(const std::string& text);

// A report as a drawing, independent of the output format: rows below each other, on one time axis,
// in milliseconds since the shutdown request.
struct Timeline {
  struct Row {
    std::string label{};
    // A closer or a saver, below its phase.
    bool nested = false;
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    // The latest time at which it might have ended; never less than `start`, and 0 if unknown.
    std::uint64_t budget_end = 0;
    // "1.31 s of 5 s"
    std::string time{};
    // Something was cut, failed or hung; `mark` says what, in a few words.
    bool forced = false;
    std::string mark{};
  };
  // The program, how its shutdown went, and the calls: lines of text.
  std::vector<std::string> title{};
  std::vector<Row> rows{};
  std::vector<std::string> summary{};
  // The end of the axis, and the positions of its ticks, including 0.
  std::uint64_t length = 0;
  std::vector<std::uint64_t> ticks{};
};

Timeline TimelineOf(const report::v1::ShutdownReport& report);

// "28 ms", "1.31 s", "12 s", "2 min 5 s".
std::string TimeText(std::uint64_t milliseconds);

}  // namespace client

#endif  // CLIENT_SHUTDOWN_REPORT_H_
