#ifndef TESTS_ROLLING_FLEET_H_
#define TESTS_ROLLING_FLEET_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/common/reserved_port.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/rolling/target.h"

namespace rolling {

// Three orders servers that share one database, and the inventory that they call: each in its own
// process.
//
// Threads: one at a time; see ChildProcess. Killed with this object.
class Fleet {
 public:
  static constexpr std::size_t kReplicas = 3;

  // `orders_flags`: of every orders server, besides those that make it one of these. `tls`:
  // callers of orders speak TLS. `observed`: they log each call, and have metrics.
  static absl::StatusOr<std::unique_ptr<Fleet>> Start(std::vector<std::string> orders_flags,
                                                      bool tls, bool observed = false);

  // The address of each replica; the same for the fleet's whole life.
  std::vector<std::string> addresses() const;
  // Where each is asked for its metrics; empty unless they are observed.
  std::vector<std::string> metrics_addresses() const;
  // All of them, and one of these addresses, or of what passes bytes on to them.
  Target target() const;
  Target TargetAt(const std::string& address) const;
  const std::string& inventory_address() const { return inventory_->address(); }

  // Sends SIGTERM, waits for exit code 0, and starts the replica again on the same port.
  //
  // INTERNAL with its log: another exit code, or none in time, or it did not keep the order of a
  // shutdown.
  absl::Status Restart(std::size_t replica);

  // Shuts everything down in the same way, without starting it again.
  absl::Status Stop();

  // How many replicas have shut down so far, and how many of them had to begin Server::Shutdown()
  // while connections were still in use.
  int stops() const { return stops_; }
  int stops_with_connections_left() const { return stops_with_connections_left_; }

 private:
  explicit Fleet(std::vector<std::string> orders_flags);

  void UseTls();
  void Observe();

  absl::Status StartInventory();
  absl::Status StartReplica(std::size_t replica);
  absl::Status StopReplica(std::size_t replica);

  const testkit::TempDir directory_;  // Of the databases, and for TLS.
  std::vector<std::string> orders_flags_;
  std::string certificate_file_;  // Empty: plaintext.
  std::unique_ptr<testkit::ServerProcess> inventory_;
  std::vector<std::unique_ptr<testkit::ReservedPort>> ports_;
  std::vector<std::unique_ptr<testkit::ReservedPort>> metrics_ports_;  // Empty: not observed.
  std::vector<std::unique_ptr<testkit::ServerProcess>> replicas_;
  int stops_ = 0;
  int stops_with_connections_left_ = 0;
};

}  // namespace rolling

#endif  // TESTS_ROLLING_FLEET_H_
