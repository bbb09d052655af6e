// No caller notices a restart:
//
//     bazel run //tests/rolling:rolling_restart -- --restarts=100
//     bazel run //tests/rolling:rolling_restart -- --what_if
//
// Restarts three replicas in turn under the load of every kind of caller, prints what
// each of them saw, and ends with 0 if no call failed and every invariant held.
//
// --what_if repeats that with one protection of the servers switched off at a time,
// and prints how many calls of each caller failed then. That is a measurement: it
// fails only when it cannot be made.
#include <cstdio>
#include <string>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "tests/rolling/rolling_restart.h"

ABSL_FLAG(int, restarts, 3, "How many, altogether.");
ABSL_FLAG(bool, what_if, false, "Switch the protections off, one at a time.");

namespace rolling {
namespace {

// Long enough for callers that look at no health (the age of their connections
// follows from it) and short enough for a test. What is left of the grace is only a
// limit.
const std::vector<std::string> kFlags = {"--termination_grace=60s", "--stop_lame_duck=1s",
                                         "--stop_connections=3s"};

void Print(const Report& report) {
  std::printf("%-28s %9s %7s %8s %8s\n", "caller", "answered", "failed", "retried", "resumed");
  for (const Report::Row& row : report.callers) {
    std::printf("%-28s %9ld %7ld %8ld %8ld\n", row.caller.c_str(), row.counts.answered,
                row.counts.failed, row.counts.retried, row.counts.resumed);
    for (const std::string& failure : row.failures) std::printf("    %s\n", failure.c_str());
  }
  std::printf("%d stops, %d of them with connections left at the shutdown\n", report.stops,
              report.stops_with_connections_left);
  for (const std::string& violation : report.violations) {
    std::printf("VIOLATED: %s\n", violation.c_str());
  }
}

int Main() {
  const auto report = Run({.restarts = absl::GetFlag(FLAGS_restarts), .orders_flags = kFlags});
  if (!report.ok()) {
    std::printf("%s\n", report.status().ToString().c_str());
    return 1;
  }
  Print(*report);
  return report->clean() ? 0 : 1;
}

}  // namespace
}  // namespace rolling

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  return rolling::Main();
}
