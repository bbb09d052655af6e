#include "tests/common/event_log.h"

#include <cstddef>
#include <regex>

namespace testkit {
namespace {

std::optional<lifecycle::EventType> EventOfName(const std::string& name) {
  for (const lifecycle::EventRow& row : lifecycle::kEvents) {
    if (name == row.name) return row.type;
  }
  return std::nullopt;
}

std::optional<LoggedEvent> EventIn(const std::string& line) {
  // 2026-01-31T12:00:01.251Z I orders: shutdown +0.001s ClosingResources    Closed "database": detail
  static const std::regex kEvent(
      R"re((?:\d{4}-\d\d-\d\dT)?\d\d:\d\d:\d\d\.\d{3}Z? ([A-Z]) \S+: (?:shutdown \+(\d+)\.(\d{3})s )?([A-Z]\w*) +([A-Z]\w*)(?: "([^"]*)")?(?:: (.*))?)re");
  std::smatch match;
  if (!std::regex_match(line, match, kEvent)) return std::nullopt;
  LoggedEvent event;
  if (match[2].matched) {
    event.since_shutdown =
        std::chrono::seconds(std::stol(match[2])) + std::chrono::milliseconds(std::stol(match[3]));
  }
  event.phase = match[4];
  event.name = match[5];
  event.type = EventOfName(event.name);
  event.subject = match[6];
  event.detail = match[7];
  event.ok = match[1] == "I";
  return event;
}

}  // namespace

std::vector<LoggedEvent> EventsIn(const std::string& output) {
  std::vector<LoggedEvent> events;
  std::size_t begin = 0;
  for (std::size_t end; (end = output.find('\n', begin)) != std::string::npos; begin = end + 1) {
    if (auto event = EventIn(output.substr(begin, end - begin))) events.push_back(*event);
  }
  return events;
}

std::vector<std::string> EventNamesIn(const std::string& output) {
  std::vector<std::string> names;
  for (const LoggedEvent& event : EventsIn(output)) names.push_back(event.name);
  return names;
}

}  // namespace testkit
