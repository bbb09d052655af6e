#ifndef CLIENT_TESTING_DEVELOPMENT_CA_H_
#define CLIENT_TESTING_DEVELOPMENT_CA_H_

#include <chrono>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/common/child_process.h"
#include "tests/common/runfiles.h"
#include "tests/common/temp_dir.h"

namespace client {

// A new CA each time, with certificates for a server and its caller. Requires that
// deploy/tls/development_ca.sh is in the data of the test.
class DevelopmentCa {
 public:
  DevelopmentCa() {
    testkit::ChildProcess made(
        {testkit::RunfileOrDie("deploy/tls/development_ca.sh"), directory_.path()});
    made.Wait(std::chrono::minutes(1));
  }

  // The text of "ca.pem", "server.pem", "server.key", "client.pem" or "client.key".
  std::string Text(const std::string& name) const {
    std::ifstream file(directory_.File(name));
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  const testkit::TempDir directory_;
};

}  // namespace client

#endif  // CLIENT_TESTING_DEVELOPMENT_CA_H_
