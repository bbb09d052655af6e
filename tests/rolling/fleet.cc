#include "tests/rolling/fleet.h"

#include <signal.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/event_log.h"
#include "tests/common/order_rules.h"

namespace rolling {
namespace {

using testkit::Ending;
using testkit::ServerProcess;

// Longer than any grace that a server is given here.
constexpr std::chrono::seconds kStopLimit{120};

absl::Status Stop(const std::string& name, ServerProcess& server) {
  server.process().Signal(SIGTERM);
  const Ending ending = server.process().Wait(kStopLimit);
  const std::string output = server.process().Output();
  const std::vector<std::string> broken = testkit::BrokenRules(output, ending);
  if (ending == Ending::Exited(0) && broken.empty()) return absl::OkStatus();
  std::ostringstream text;
  text << name << " ended with " << ending << "\n" << absl::StrJoin(broken, "\n") << "\n" << output;
  return absl::InternalError(text.str());
}

std::vector<std::string> AddressesOf(
    const std::vector<std::unique_ptr<testkit::ReservedPort>>& ports) {
  std::vector<std::string> addresses;
  for (const auto& port : ports) addresses.push_back(port->address());
  return addresses;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Fleet>> Fleet::Start(std::vector<std::string> orders_flags, bool tls,
                                                    bool observed) {
  std::unique_ptr<Fleet> fleet(new Fleet(std::move(orders_flags)));
  if (tls) fleet->UseTls();
  if (observed) fleet->Observe();
  absl::Status started = fleet->StartInventory();
  for (std::size_t replica = 0; started.ok() && replica < kReplicas; ++replica) {
    started = fleet->StartReplica(replica);
  }
  if (!started.ok()) return started;
  return fleet;
}

Fleet::Fleet(std::vector<std::string> orders_flags)
    : orders_flags_(std::move(orders_flags)), replicas_(kReplicas) {
  for (std::size_t i = 0; i < kReplicas; ++i) {
    ports_.push_back(std::make_unique<testkit::ReservedPort>());
  }
}

std::vector<std::string> Fleet::addresses() const { return AddressesOf(ports_); }
std::vector<std::string> Fleet::metrics_addresses() const { return AddressesOf(metrics_ports_); }

Target Fleet::target() const { return TargetAt(absl::StrJoin(addresses(), ",")); }

Target Fleet::TargetAt(const std::string& address) const {
  return {"ipv4:" + address, certificate_file_};
}

void Fleet::UseTls() {
  const rpc::SelfSigned identity;
  certificate_file_ = directory_.File("certificate");
  std::ofstream(certificate_file_) << identity.certificate;
  std::ofstream(directory_.File("key")) << identity.key;
  orders_flags_.push_back("--tls_certificate=" + certificate_file_);
  orders_flags_.push_back("--tls_key=" + directory_.File("key"));
}

void Fleet::Observe() {
  for (std::size_t i = 0; i < kReplicas; ++i) {
    metrics_ports_.push_back(std::make_unique<testkit::ReservedPort>());
  }
  orders_flags_.push_back("--access_log");
}

absl::Status Fleet::Restart(std::size_t replica) {
  absl::Status stopped = StopReplica(replica);
  stopped.Update(StartReplica(replica));
  return stopped;
}

absl::Status Fleet::Stop() {
  absl::Status stopped;
  for (std::size_t replica = 0; replica < kReplicas; ++replica) {
    stopped.Update(StopReplica(replica));
  }
  stopped.Update(rolling::Stop("inventory", *inventory_));
  return stopped;
}

absl::Status Fleet::StartInventory() {
  auto inventory =
      ServerProcess::Start({.binary = "service/inventory/inventory",
                            .flags = {"--database=" + directory_.File("inventory.sqlite3")}});
  if (!inventory.ok()) return inventory.status();
  inventory_ = *std::move(inventory);
  return absl::OkStatus();
}

absl::Status Fleet::StartReplica(std::size_t replica) {
  std::vector<std::string> flags = orders_flags_;
  flags.push_back("--database=" + directory_.File("orders.sqlite3"));
  flags.push_back("--inventory=" + inventory_->address());
  if (!metrics_ports_.empty()) {
    flags.push_back("--admin_http_address=" + metrics_ports_[replica]->address());
  }
  auto server = ServerProcess::Start({.binary = "service/orders_server",
                                      .flags = std::move(flags),
                                      .address = ports_[replica]->address()});
  if (!server.ok()) return server.status();
  replicas_[replica] = *std::move(server);
  return absl::OkStatus();
}

absl::Status Fleet::StopReplica(std::size_t replica) {
  absl::Status stopped = rolling::Stop(absl::StrCat("replica ", replica), *replicas_[replica]);
  ++stops_;
  const bool busy =
      replicas_[replica]->process().Output().find("ConnectionsRemain: busy") != std::string::npos;
  stops_with_connections_left_ += busy ? 1 : 0;
  return stopped;
}

}  // namespace rolling
