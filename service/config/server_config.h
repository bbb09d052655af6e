#ifndef SERVICE_CONFIG_SERVER_CONFIG_H_
#define SERVICE_CONFIG_SERVER_CONFIG_H_

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "service/lifecycle/stop_budget.h"

namespace config {

// What every server of this repository can be told on its command line.
struct ServerConfig {
  // --address
  std::string address;
  // --port_file
  std::string port_file;
  // --termination_grace and the budgets set by hand
  lifecycle::StopBudget stop;
  // Derived from the connections budget: the oldest connection has gone before
  // that is spent, jitter included.
  std::chrono::milliseconds connection_age{};
};

// Parses the command line into the flags of the whole program, and prints the help
// for --help. `usage` is what the program is, in a sentence or two.
//
// Ends the process with exit code 1 (ExitCode::kUsage) and one line on stderr when
// a flag is unknown, a value malformed, a word is no flag, or what the flags say
// does not fit together.
ServerConfig ParseCommandLine(const std::string& usage, int argc, char** argv);

// Ends the process the same way: for a program's own flags.
[[noreturn]] void UsageError(const std::string& what);

}  // namespace config

#endif  // SERVICE_CONFIG_SERVER_CONFIG_H_
