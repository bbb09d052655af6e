#ifndef SERVICE_CONFIG_SERVER_CONFIG_H_
#define SERVICE_CONFIG_SERVER_CONFIG_H_

#include <functional>
#include <string>

#include "service/lifecycle/shutdown_budget.h"
#include "service/rpc/server_host.h"

namespace config {

// What every server of this repository can be told on its command line.
struct ServerConfig {
  // --address, --tls_certificate, --tls_key, --port_file, and how connections are bounded.
  rpc::ServerHost::Options server;
  // --admin_address (empty: operators are not served), --admin_port_file.
  rpc::ServerHost::Options admin;
  // --termination_grace, and the budgets set by hand.
  lifecycle::ShutdownBudget stop;
  // --shutdown_report; empty: no file.
  std::string shutdown_report;

  // Has the servers' warnings (ServerHost::Options::log) written by `warn`, which must not
  // block and outlives them.
  void WarnThrough(const std::function<void(const std::string& line)>& warn) {
    server.log = warn;
    admin.log = warn;
  }
};

// Parses the command line into the flags of the whole program. `usage` is what the
// program is, in a sentence or two: --help prints it, and every flag of this
// repository's that the program has, and ends the process with exit code 1, as
// Abseil does.
//
// Warns on stderr when the platform is known to kill before the shutdown has ended. Ends the
// process with exit code 0 for --print_config.
//
// Ends the process with exit code 2 (ExitCode::kCouldNotStart) and one line on stderr when
// the report could not be written where --shutdown_report says, or a file for TLS cannot be
// read.
//
// Ends the process with exit code 1 (ExitCode::kUsage) and one line on stderr when
// a flag is unknown, a value malformed, a word is no flag, or what the flags say
// does not fit together.
ServerConfig ParseCommandLine(const std::string& usage, int argc, char** argv);

// Ends the process the same way: for a program's own flags.
[[noreturn]] void UsageError(const std::string& what);

}  // namespace config

#endif  // SERVICE_CONFIG_SERVER_CONFIG_H_
