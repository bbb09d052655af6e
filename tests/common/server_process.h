#ifndef TESTS_COMMON_SERVER_PROCESS_H_
#define TESTS_COMMON_SERVER_PROCESS_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/common/child_process.h"
#include "tests/common/temp_dir.h"

namespace testkit {

// Flags: an hour for everything, and no lame duck, which would always be spent. A shutdown that waited
// for a budget would not end in the time of a test, so no test measures time.
inline const std::vector<std::string> kAllTheTime = {"--termination_grace=1h",
                                                     "--shutdown_lame_duck=0"};

// A server of this repository in its own process, serving.
//
// Threads and lifetime: those of ChildProcess.
class ServerProcess {
 public:
  struct Options {
    // As for Runfile(): "tests/servers/echo/echo_server".
    std::string binary;
    // In addition to --address and --port_file.
    std::vector<std::string> flags = {};
    // Port 0 picks a free one.
    std::string address = "127.0.0.1:0";
    // A program that runs the server, such as valgrind, and its arguments.
    std::vector<std::string> under = {};
    // As for ChildProcess.
    ChildProcess::Environment environment = {};
    std::vector<int> passed = {};
  };

  // Returns once the server serves.
  //
  // `give_up` and errors: those of AwaitPortFile().
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Start(
      Options options, std::chrono::milliseconds limit = std::chrono::seconds(60),
      const std::function<bool()>& give_up = nullptr);

  // "127.0.0.1:40123": where it listens.
  const std::string& address() const { return address_; }

  ChildProcess& process() { return process_; }

 private:
  explicit ServerProcess(const Options& options);

  const TempDir directory_;  // Of the port file.
  ChildProcess process_;
  std::string address_;
};

}  // namespace testkit

#endif  // TESTS_COMMON_SERVER_PROCESS_H_
