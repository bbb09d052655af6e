#ifndef TESTS_COMMON_EVENT_LOG_H_
#define TESTS_COMMON_EVENT_LOG_H_

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "service/lifecycle/event.h"

namespace testkit {

// An event of a server's life (service/lifecycle/event.h), read back from a line
// of its log.
struct LoggedEvent {
  // Time since the shutdown request; unset before it.
  std::optional<std::chrono::milliseconds> since_shutdown;
  std::string phase;
  std::string name;
  // Unset: no event has this name.
  std::optional<lifecycle::EventType> type;
  std::string subject;
  std::string detail;
  // False: a person should look at this.
  bool ok = true;

  bool Is(lifecycle::EventType other) const { return type == other; }
};

// The events in a server's output, in order. Skips lines without an event, and an incomplete last
// line.
std::vector<LoggedEvent> EventsIn(const std::string& output);

// Their names alone.
std::vector<std::string> EventNamesIn(const std::string& output);

}  // namespace testkit

#endif  // TESTS_COMMON_EVENT_LOG_H_
