#ifndef CLIENT_COMMAND_LINE_H_
#define CLIENT_COMMAND_LINE_H_

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "absl/status/statusor.h"

namespace client {

// One flag that a command knows: `--name=VALUE`, or `--name` when `value` is empty.
struct Flag {
  std::string name;
  // The placeholder for the value in the help: "TIME".
  std::string value;
  std::string help;
};

// The arguments after the name of a command, in any order.
struct CommandLine {
  // name -> value; "" for a flag without one. If a flag is repeated, the last one wins.
  std::map<std::string, std::string> flags;
  std::vector<std::string> words;

  bool Has(const std::string& flag) const { return flags.contains(flag); }
  std::string Get(const std::string& flag, const std::string& otherwise = "") const;
};

// Errors of all of these: INVALID_ARGUMENT, one line that says what would be valid.

// `--` ends the flags; a lone `-` is a word.
absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& arguments,
                                             const std::vector<Flag>& known);

// "1.5s", "2m": at least 1 ms, at most a day.
absl::StatusOr<std::chrono::milliseconds> ParseTime(const std::string& text);

// A whole number, at least 1.
absl::StatusOr<std::int64_t> ParseCount(const std::string& text);

// One line for each flag, aligned.
std::string FlagsHelp(const std::vector<Flag>& flags);

}  // namespace client

#endif  // CLIENT_COMMAND_LINE_H_
