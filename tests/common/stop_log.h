#ifndef TESTS_COMMON_STOP_LOG_H_
#define TESTS_COMMON_STOP_LOG_H_

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "service/lifecycle/phase.h"

namespace testkit {

// One line of the log of a stop: an event as the process told it.
struct StopEvent {
  // Since the request to stop; nothing before it.
  std::optional<std::chrono::milliseconds> time;
  lifecycle::Phase phase = lifecycle::Phase::kStarting;
  std::string name;
  std::string subject;
  std::string detail;
  // False: a person should look at it.
  bool ok = true;
  // The line itself, for a person to read.
  std::string line;
};

// What a process has told of its life and its end.
struct StopLog {
  std::vector<StopEvent> events;
  // The last words of a process that does not return from main, or that could not
  // start, as service/lifecycle/process.cc writes them.
  bool watchdog = false;
  bool third_signal = false;
  bool could_not_start = false;
};

// Finds in a process's output what service/observability/lifecycle_log.cc and
// service/lifecycle/process.cc have written; whatever else is in it is left out.
StopLog ParseStopLog(const std::string& output);

}  // namespace testkit

#endif  // TESTS_COMMON_STOP_LOG_H_
