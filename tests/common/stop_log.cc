#include "tests/common/stop_log.h"

#include <cmath>
#include <regex>
#include <string_view>

#include "absl/strings/str_split.h"

namespace testkit {
namespace {

using lifecycle::Phase;

std::optional<Phase> PhaseOfName(std::string_view name) {
  for (int phase = 0; phase <= static_cast<int>(Phase::kStopped); ++phase) {
    if (name == PhaseName(static_cast<Phase>(phase))) return static_cast<Phase>(phase);
  }
  return std::nullopt;
}

// "12:00:01.251 I orders: stop +0.001s Closing     Closed "database": detail"; what
// comes before the request has no "stop +0.001s ".
std::optional<StopEvent> ParseLine(const std::string& line) {
  static const std::regex kLine(
      R"re(\d\d:\d\d:\d\d\.\d{3} ([A-Z]) [^:]+: (?:stop \+(-?\d+\.\d{3})s )?([A-Za-z]+) +)re"
      R"re(([A-Z][A-Za-z]+)(?: "(.*?)")?(?:: (.*))?)re");
  std::smatch match;
  if (!std::regex_match(line, match, kLine)) return std::nullopt;
  const std::optional<Phase> phase = PhaseOfName(match[3].str());
  if (!phase) return std::nullopt;
  StopEvent event{.phase = *phase,
                  .name = match[4],
                  .subject = match[5],
                  .detail = match[6],
                  .ok = match[1] == "I",
                  .line = line};
  if (match[2].matched) {
    event.time = std::chrono::milliseconds(std::lround(std::stod(match[2]) * 1000));
  }
  return event;
}

}  // namespace

StopLog ParseStopLog(const std::string& output) {
  StopLog log;
  for (const std::string_view line : absl::StrSplit(output, '\n')) {
    if (std::optional<StopEvent> event = ParseLine(std::string(line))) {
      log.events.push_back(*std::move(event));
    }
    log.watchdog |= line.starts_with("watchdog: ");
    log.third_signal |= line.starts_with("third signal: ");
    log.could_not_start |= line.starts_with("could not start: ");
  }
  return log;
}

}  // namespace testkit
