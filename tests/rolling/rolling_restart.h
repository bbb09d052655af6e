#ifndef TESTS_ROLLING_ROLLING_RESTART_H_
#define TESTS_ROLLING_ROLLING_RESTART_H_

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/rolling/foreign_tools.h"
#include "tests/rolling/invariants.h"
#include "tests/rolling/load.h"
#include "tests/rolling/tally.h"

namespace rolling {

struct Options {
  // The replicas are restarted in turn, so many times altogether.
  int restarts = 3;
  // C++ callers of each kind that places orders, each with a channel of its own.
  int callers = 1;
  // Between two calls of a caller; 0: as fast as they can.
  std::chrono::milliseconds think_time = kThinkTime;
  // Of every orders server.
  std::vector<std::string> orders_flags = {};
  // Everybody speaks TLS but those whose calls HAProxy takes apart.
  bool tls = false;
  // The servers log each call, and are asked for their metrics every second.
  bool observed = false;
  // Also callers that may lose calls whatever a server does: with grpc.enable_retries=0 a
  // call that gRPC begins in the moment in which its connection is told to go fails
  // without having been sent.
  bool hopeless = false;
  // Callers in other languages, some of them through HAProxy.
  ForeignTools foreign_tools;
};

struct Report {
  struct Row {
    std::string caller;
    Counts counts;
    std::vector<std::string> failures;
    // Of a caller that watches every event.
    std::optional<Differences> events = {};
  };
  std::vector<Row> callers;
  Violations violations;
  // Stops of a replica, and how many of those began Server::Shutdown() although
  // connections were still in use.
  int stops = 0;
  int stops_with_connections_left = 0;

  // Callers of the same name are told of as one.
  void Add(Row row);

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
// Errors: the servers or HAProxy cannot be started at all.
absl::StatusOr<Report> Run(const Options& options);

}  // namespace rolling

#endif  // TESTS_ROLLING_ROLLING_RESTART_H_
