#ifndef TESTS_ROLLING_ROLLING_RESTART_H_
#define TESTS_ROLLING_ROLLING_RESTART_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/rolling/invariants.h"
#include "tests/rolling/tally.h"

namespace rolling {

struct Options {
  // The replicas are restarted in turn, so many times altogether.
  int restarts = 3;
  // Of every orders server.
  std::vector<std::string> orders_flags = {};
};

struct Report {
  struct Row {
    std::string caller;
    Counts counts;
    std::vector<std::string> failures;
  };
  std::vector<Row> callers;
  Violations violations;
  // Stops of a replica, and how many of those began Server::Shutdown() although
  // connections were still in use.
  int stops = 0;
  int stops_with_connections_left = 0;

  // Nothing failed, nothing is violated.
  bool clean() const;
};

// Three replicas restarted in turn, while every kind of caller calls all the time.
//
// The next restart comes as soon as every caller has had an answer since the last.
// When the restarts are over nobody places orders any more; once those that exist
// are confirmed and everybody was told so, all invariants are checked.
//
// Every wait has a limit; one that is reached is among the violations.
//
// Errors: the servers cannot be started at all.
absl::StatusOr<Report> Run(const Options& options);

}  // namespace rolling

#endif  // TESTS_ROLLING_ROLLING_RESTART_H_
