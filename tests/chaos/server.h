#ifndef TESTS_CHAOS_SERVER_H_
#define TESTS_CHAOS_SERVER_H_

#include <memory>
#include <string>
#include <vector>

#include "service/sqlite/testing/failing_disk.h"
#include "tests/chaos/faults.h"
#include "tests/common/reserved_port.h"
#include "tests/common/server_process.h"
#include "tests/common/slow_link.h"
#include "tests/common/temp_dir.h"

namespace chaos {

// A server that is killed, stopped and frozen, and always comes back on its port; behind a link that
// is cut, with a disk that fails.
//
// Threads: one at a time.
class Server {
 public:
  // `name`: in what is counted. `binary`: as ServerProcess has it.
  Server(std::string name, std::string binary, std::vector<std::string> flags, Tally& tally);

  // Until it serves, however often it must be started for that: each time in vain ends with the exit
  // code for that. Anything else is a violation, and so is a start that is in vain for too long.
  //
  // False: it does not serve, and nothing more happens to it.
  bool Start();

  // When nothing is broken any more: it still runs, and ends with 0. Anything else is a violation.
  void Stop();

  // Where it is called: through its link.
  const std::string& address() const { return link_.address(); }

  // The end of what it has written since it was started last.
  std::string Output() const;

  // Its process's, whenever it is started again.
  sqlite::FailingDisk& disk() { return disk_; }

  std::vector<Fault> ProcessFaults();
  std::vector<Fault> LinkFaults();
  std::vector<Fault> DiskFaults();

 private:
  void Kill(Random& random);
  void Terminate(Random& random);
  void Freeze(Random& random);
  // Whether it runs. That it has ended by itself is told, and it is started again.
  bool Runs();
  void Tell(const std::string& what);

  const std::string name_;
  const std::string binary_;
  const std::vector<std::string> flags_;
  Tally& tally_;
  const testkit::TempDir directory_;
  const testkit::ReservedPort port_;
  testkit::SlowLink link_;
  sqlite::FailingDisk disk_;
  std::unique_ptr<testkit::ServerProcess> process_;  // Null: it does not start.
};

// What may happen to a link between two processes.
std::vector<Fault> FaultsOfLink(testkit::SlowLink& link, const std::string& name);

}  // namespace chaos

#endif  // TESTS_CHAOS_SERVER_H_
