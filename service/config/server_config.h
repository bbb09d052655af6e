#ifndef SERVICE_CONFIG_SERVER_CONFIG_H_
#define SERVICE_CONFIG_SERVER_CONFIG_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "service/admin/admin_server.h"
#include "service/lifecycle/shutdown_budget.h"
#include "service/observability/process_log.h"
#include "service/rpc/server_host.h"
#include "service/rpc/tls/tls_files.h"

namespace config {

// The settings that every server of this repository takes from its command line.
struct ServerConfig {
  // --address, --takeover, --port_file, the --tls_... files, --authorization_policy, the limits on
  // connections, and the sockets that were passed to the process.
  rpc::ServerHost::Options server;
  // --admin_address (empty: no gRPC), --admin_port_file, --admin_tls, --admin_http_address (empty: no
  // HTTP), --admin_http_port_file.
  admin::AdminServer::Options admin;
  // --tls_certificate, --tls_key, --tls_client_ca; null: plaintext.
  std::shared_ptr<rpc::TlsFiles> tls;
  // --termination_grace and the --shutdown_... shares.
  lifecycle::ShutdownBudget budget;
  // --log_format, --log_level, --shutdown_report (empty: no file), --systemd_extend_timeout.
  observability::ProcessLog::Options log;

  // The platform is known to kill before the shutdown can end; empty: it is not.
  std::string platform_warning;

  // Every flag's name and value, in order, passwords masked.
  std::vector<std::pair<std::string, std::string>> flags;

  // Logs the platform's warning, and from now on those of the servers and of their TLS files; with
  // --access_log also the calls of the server. Requires: it is not started yet.
  void LogTo(observability::ProcessLog& log);
};

// Parses the command line into the flags of the whole program. `usage` describes the program in a
// sentence or two: --help prints it, followed by the program's own flags without those of
// libraries, and exits with code 1, as Abseil does.
//
// For --version, prints what was built (admin::BuildInfo()) and exits with code 0.
//
// For --print_config, exits with code 0; the platform's warning is then a line on stderr.
//
// Exits with code 2 (ExitCode::kCouldNotStart) and one line on stderr when the report cannot be
// written to --shutdown_report, or when a TLS file or the authorization policy cannot be read.
//
// Exits with code 1 (ExitCode::kUsage) and one line on stderr when a flag is unknown, a value is
// malformed, an argument is not a flag, the flags contradict each other, a file that the server writes or
// a socket that it opens is also the value of another flag, be it the program's own, or a socket was passed
// to the process that no address names. So it does when a file of --flagfile is not what it seems
// (flag_files.h), and when a value that was given to a flag of this repository ends with a blank or a
// line break.
ServerConfig ParseCommandLine(const std::string& usage, int argc, char** argv);

// Exits in the same way; for a program's own flags.
[[noreturn]] void UsageError(absl::string_view what);

}  // namespace config

#endif  // SERVICE_CONFIG_SERVER_CONFIG_H_
