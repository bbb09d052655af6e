// No caller notices a restart:
//
//     bazel run //tests/rolling:rolling_restart -- --restarts=100
//     bazel run //tests/rolling:rolling_restart -- --tls --observed
//     bazel run //tests/rolling:rolling_restart -- --what_if
//
// Restarts three replicas in turn under the load of every kind of caller, prints what
// each of them saw, and ends with 0 if no call failed and every invariant held.
//
// --what_if repeats that with one protection of the servers switched off at a time, then
// with all of them off, and each alone on; and prints how many calls of each caller
// failed then. That is a measurement: it fails only when it cannot be made.
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/flags/flag.h"
#include "absl/flags/parse.h"
#include "absl/time/time.h"
#include "tests/rolling/foreign_tools.h"
#include "tests/rolling/load.h"
#include "tests/rolling/rolling_restart.h"

ABSL_FLAG(int, restarts, 3, "How many, altogether.");
ABSL_FLAG(int, callers, 1, "C++ callers of each kind that places orders.");
ABSL_FLAG(absl::Duration, think_time, absl::FromChrono(rolling::kThinkTime),
          "Between two calls of a caller; 0: each calls as fast as it can.");
ABSL_FLAG(std::string, node, "", "Where Bazel has put Node.js.");
ABSL_FLAG(std::string, node_modules, "", "Where Bazel has put what npm installs.");
ABSL_FLAG(bool, tls, false, "The servers, and their callers, speak TLS.");
ABSL_FLAG(bool, observed, false,
          "The servers log each call, and are asked for their metrics every second.");
ABSL_FLAG(bool, what_if, false, "Switch protections off.");

namespace rolling {
namespace {

// A lame duck that is short enough for a test. What is left of the grace is only a limit.
const std::vector<std::string> kFlags = {"--termination_grace=60s", "--shutdown_lame_duck=1s"};

void Print(const Report& report) {
  std::printf("%-30s %9s %7s %8s %8s %8s %9s\n", "caller", "answered", "failed", "retried",
              "resumed", "missing", "repeated");
  for (const Report::Row& row : report.callers) {
    std::printf("%-30s %9ld %7ld %8ld %8ld", row.caller.c_str(), row.counts.answered,
                row.counts.failed, row.counts.retried, row.counts.resumed);
    if (row.events) std::printf(" %8ld %9ld", row.events->missing, row.events->repeated);
    std::printf("\n");
    for (const std::string& failure : row.failures) std::printf("    %s\n", failure.c_str());
  }
  std::printf("%d stops, %d of them with connections left at the shutdown\n", report.stops,
              report.stops_with_connections_left);
  for (const std::string& violation : report.violations) {
    std::printf("VIOLATED: %s\n", violation.c_str());
  }
}

// Which protections of the servers are off. Those that callers have, retry and the health
// check, are off in callers that are always there.
struct WhatIf {
  const char* what;
  std::vector<std::string> flags;
};
const WhatIf kWhatIfs[] = {
    {"all on", {}},
    {"no lame duck", {"--shutdown_lame_duck=0"}},
    // Straight to Server::Shutdown(), as a server without this harness does.
    {"no connection drain", {"--shutdown_drain_connections=0"}},
    {"none", {"--shutdown_lame_duck=0", "--shutdown_drain_connections=0"}},
};

bool TellWhatIf(Options options) {
  options.hopeless = true;
  std::vector<Report> reports;
  for (const WhatIf& each : kWhatIfs) {
    options.orders_flags = kFlags;
    options.orders_flags.insert(options.orders_flags.end(), each.flags.begin(), each.flags.end());
    auto report = Run(options);
    if (!report.ok()) {
      std::printf("%s: %s\n", each.what, report.status().ToString().c_str());
      return false;
    }
    std::printf("\n%s\n", each.what);
    Print(*report);
    std::fflush(stdout);
    reports.push_back(*std::move(report));
  }

  std::printf("\n%-30s", "failed calls, if");
  for (const WhatIf& each : kWhatIfs) std::printf(" %14s", each.what);
  for (std::size_t row = 0; row < reports.front().callers.size(); ++row) {
    std::printf("\n%-30s", reports.front().callers[row].caller.c_str());
    for (const Report& report : reports) {
      std::printf(" %14ld", report.callers[row].counts.failed);
    }
  }
  std::printf("\n%-30s", "stops with connections left");
  for (const Report& report : reports) std::printf(" %14d", report.stops_with_connections_left);
  std::printf("\n%-30s", "invariants violated");
  for (const Report& report : reports) std::printf(" %14zu", report.violations.size());
  std::printf("\n");
  return true;
}

bool Prove(Options options) {
  options.orders_flags = kFlags;
  // Each check of HAProxy's is a handshake then, and may take 2 s.
  if (options.tls) options.orders_flags.push_back("--shutdown_lame_duck=6s");
  const auto report = Run(options);
  if (!report.ok()) {
    std::printf("%s\n", report.status().ToString().c_str());
    return false;
  }
  Print(*report);
  return report->clean();
}

}  // namespace
}  // namespace rolling

int main(int argc, char** argv) {
  absl::ParseCommandLine(argc, argv);
  rolling::Options options;
  options.tls = absl::GetFlag(FLAGS_tls);
  options.observed = absl::GetFlag(FLAGS_observed);
  options.restarts = absl::GetFlag(FLAGS_restarts);
  options.callers = absl::GetFlag(FLAGS_callers);
  options.think_time = absl::ToChronoMilliseconds(
      absl::Ceil(absl::GetFlag(FLAGS_think_time), absl::Milliseconds(1)));
  auto tools =
      rolling::ForeignTools::Find(absl::GetFlag(FLAGS_node), absl::GetFlag(FLAGS_node_modules));
  if (!tools.ok()) {
    std::printf("%s\n", std::string(tools.status().message()).c_str());
    return 1;
  }
  options.foreign_tools = *std::move(tools);
  const bool well =
      absl::GetFlag(FLAGS_what_if) ? rolling::TellWhatIf(options) : rolling::Prove(options);
  return well ? 0 : 1;
}
