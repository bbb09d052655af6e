#include "tests/common/server_process.h"

#include "tests/common/port_file.h"
#include "tests/common/runfiles.h"

namespace testkit {
namespace {

std::vector<std::string> Command(const ServerProcess::Options& options,
                                 const std::string& port_file) {
  std::vector<std::string> command = options.under;
  command.push_back(RunfileOrDie(options.binary));
  command.push_back("--address=" + options.address);
  command.push_back("--port_file=" + port_file);
  command.push_back("--admin_http_address=");  // One closer less in its report; flags may set it.
  command.insert(command.end(), options.flags.begin(), options.flags.end());
  return command;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(
    Options options, std::chrono::milliseconds limit, const std::function<bool()>& give_up) {
  std::unique_ptr<ServerProcess> server(new ServerProcess(options));
  absl::StatusOr<std::string> address =
      AwaitPortFile(server->directory_.File("port"), server->process_, limit, give_up);
  if (!address.ok()) return address.status();
  server->address_ = *std::move(address);
  return server;
}

ServerProcess::ServerProcess(const Options& options)
    : process_(Command(options, directory_.File("port")), options.environment, options.passed) {}

}  // namespace testkit
