#ifndef SERVICE_CONFIG_SERVER_CONFIG_H_
#define SERVICE_CONFIG_SERVER_CONFIG_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "service/lifecycle/shutdown_budget.h"
#include "service/observability/log_writer.h"
#include "service/rpc/access_log.h"
#include "service/rpc/server_host.h"
#include "service/rpc/tls_files.h"

namespace config {

// The settings that every server of this repository takes from its command line.
struct ServerConfig {
  // --address, --takeover, --port_file, the --tls_... files, --authorization_policy, the limits on
  // connections, and the sockets that were passed to the process.
  rpc::ServerHost::Options server;
  // --admin_address (empty: no admin server), --admin_port_file, --admin_tls.
  rpc::ServerHost::Options admin;
  // --tls_certificate, --tls_key, --tls_client_ca; null: plaintext.
  std::shared_ptr<rpc::TlsFiles> tls;
  // --admin_http_address; empty: no HTTP.
  std::string admin_http_address;
  // --admin_http_port_file
  std::string admin_http_port_file;
  // --termination_grace and the --shutdown_... shares.
  lifecycle::ShutdownBudget budget;
  // --log_format, --log_level.
  observability::LogOptions log;
  // --access_log; null: calls are not logged.
  std::shared_ptr<rpc::AccessLog> access_log;
  // --shutdown_report; empty: no file.
  std::string shutdown_report;
  // --systemd_extend_timeout.
  bool systemd_extend_timeout = false;

  // Every flag's name and value, in order, passwords masked.
  std::vector<std::pair<std::string, std::string>> flags;

  // Logs calls, if --access_log says so, to `writer`, which outlives the servers. Not those on the
  // admin address.
  void LogCallsTo(observability::LogWriter& writer) const;

  // Sends the warnings of the servers and of their TLS files to `warn`, which must not block and
  // outlives them.
  void WarnThrough(const std::function<void(const std::string& line)>& warn) {
    server.log = warn;
    admin.log = warn;
    if (tls != nullptr) tls->LogTo(warn);
  }
};

// Parses the command line into the flags of the whole program. `usage` describes the program in a
// sentence or two: --help prints it, followed by the program's own flags without those of
// libraries, and exits with code 1, as Abseil does.
//
// Warns on stderr when the platform is known to kill before the shutdown can end. For
// --print_config, exits with code 0.
//
// Exits with code 2 (ExitCode::kCouldNotStart) and one line on stderr when the report cannot be
// written to --shutdown_report, or when a TLS file cannot be read.
//
// Exits with code 1 (ExitCode::kUsage) and one line on stderr when a flag is unknown, a value is
// malformed, an argument is not a flag, the flags contradict each other, or a socket was passed to the
// process that no address names.
ServerConfig ParseCommandLine(const std::string& usage, int argc, char** argv);

// Exits in the same way; for a program's own flags.
[[noreturn]] void UsageError(const std::string& what);

}  // namespace config

#endif  // SERVICE_CONFIG_SERVER_CONFIG_H_
