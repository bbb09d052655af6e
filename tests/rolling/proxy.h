#ifndef TESTS_ROLLING_PROXY_H_
#define TESTS_ROLLING_PROXY_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/common/child_process.h"
#include "tests/common/reserved_port.h"
#include "tests/common/temp_dir.h"

namespace rolling {

// HAProxy in front of several servers, as many people have it.
//
// Threads: those of ChildProcess.
class Proxy {
 public:
  // When it chooses a server: for each call (HTTP/2 on both sides), or for each
  // connection (bytes).
  enum class Chooses { kForEachCall, kForEachConnection };
  // What it asks servers all the time, to choose only those that are well: whether
  // they say SERVING (gRPC health), or no more than whether they accept connections.
  enum class Asks { kHealth, kConnection };

  // `haproxy`: the program. `tls`: the servers speak TLS; callers do when it chooses for each
  // connection. Returns once it listens.
  //
  // INTERNAL with its output: it does not.
  static absl::StatusOr<std::unique_ptr<Proxy>> Start(const std::string& haproxy,
                                                      const std::vector<std::string>& servers,
                                                      Chooses chooses, Asks asks, bool tls);

  const std::string& address() const { return port_.address(); }

 private:
  Proxy(const std::string& haproxy, const std::vector<std::string>& servers, Chooses chooses,
        Asks asks, bool tls);

  const testkit::TempDir directory_;  // Of its configuration.
  const testkit::ReservedPort port_;
  testkit::ChildProcess process_;
};

}  // namespace rolling

#endif  // TESTS_ROLLING_PROXY_H_
