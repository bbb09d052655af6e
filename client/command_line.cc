#include "client/command_line.h"

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"

namespace client {
namespace {

std::string Usage(const Flag& flag) {
  return absl::StrCat("--", flag.name, flag.value.empty() ? "" : "=", flag.value);
}

}  // namespace

std::string CommandLine::Get(const std::string& flag, const std::string& otherwise) const {
  const auto found = flags.find(flag);
  return found == flags.end() ? otherwise : found->second;
}

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments,
                                             const std::vector<Flag>& known) {
  CommandLine line;
  bool flags_ended = false;
  for (const std::string& argument : arguments) {
    if (flags_ended || argument == "-" || !argument.starts_with('-')) {
      line.words.push_back(argument);
      continue;
    }
    if (argument == "--") {
      flags_ended = true;
      continue;
    }
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(0, equals);
    const auto flag = std::find_if(known.begin(), known.end(),
                                   [&](const Flag& flag) { return "--" + flag.name == name; });
    if (flag == known.end()) return absl::InvalidArgumentError("unknown flag " + name);
    const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
    if (flag->value.empty() && equals != std::string::npos) {
      return absl::InvalidArgumentError(name + " takes no value");
    }
    if (!flag->value.empty() && value.empty()) {
      return absl::InvalidArgumentError(name + " needs a value: " + Usage(*flag));
    }
    line.flags[flag->name] = value;
  }
  return line;
}

absl::StatusOr<std::chrono::milliseconds> ParseTime(const std::string& text) {
  absl::Duration time;
  if (!absl::ParseDuration(text, &time) || time < absl::Milliseconds(1) || time > absl::Hours(24)) {
    return absl::InvalidArgumentError(
        "\"" + text + "\" is no duration from 1ms to 24h with its unit, as in 10s or 2m");
  }
  return absl::ToChronoMilliseconds(time);
}

absl::StatusOr<std::int64_t> ParseCount(const std::string& text) {
  std::int64_t count = 0;
  if (!absl::SimpleAtoi(text, &count) || count < 1) {
    return absl::InvalidArgumentError("\"" + text + "\" is no whole number from 1 on");
  }
  return count;
}

std::string FlagsHelp(const std::vector<Flag>& flags) {
  std::size_t width = 0;
  for (const Flag& flag : flags) width = std::max(width, Usage(flag).size());
  std::string text;
  for (const Flag& flag : flags) {
    absl::StrAppendFormat(&text, "  %-*s  %s\n", static_cast<int>(width), Usage(flag), flag.help);
  }
  return text;
}

}  // namespace client
