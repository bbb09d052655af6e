// The configurations in deploy/haproxy and deploy/nginx, as they are but for addresses and paths, in front of three
// replicas that restart in turn: callers who do nothing for it lose nothing.
#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/child_process.h"
#include "tests/common/eventually.h"
#include "tests/common/reserved_port.h"
#include "tests/common/runfiles.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/process/looping_callers.h"
#include "tests/process/server_under_test.h"

namespace process_test {
namespace {

using testkit::ChildProcess;
using testkit::Ending;

constexpr std::size_t kReplicas = 3;
constexpr std::chrono::seconds kLimit{60};

// Replaces `what`, which must be there.
void Replace(std::string& text, const std::string& what, const std::string& by) {
  const std::size_t at = text.find(what);
  ASSERT_NE(at, std::string::npos) << what << " in\n" << text;
  text.replace(at, what.size(), by);
}

class ProxiesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    for (std::size_t i = 0; i < kReplicas; ++i) ASSERT_NO_FATAL_FAILURE(Start(i));
  }

  void Start(std::size_t replica) {
    auto server = testkit::ServerProcess::Start(
        {.binary = "tests/servers/echo/echo_server",
         .flags = {"--termination_grace=1h", "--shutdown_lame_duck=1500ms",
                   "--admin_http_address=" + admin_[replica].address()},
         .address = ports_[replica].address()});
    ASSERT_TRUE(server.ok()) << server.status();
    servers_[replica] = *std::move(server);
  }

  static std::string Read(const std::string& path) {
    std::ifstream file(testkit::RunfileOrDie(path));
    return {std::istreambuf_iterator<char>(file), {}};
  }

  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_.File(name)) << text;
    return directory_.File(name);
  }

  void StartProxy(std::vector<std::string> command) {
    ASSERT_TRUE(std::ifstream(command.front()).good())
        << command.front() << " is missing. This installs it: bazel/install_packages test";
    proxy_.emplace(std::move(command));
    ASSERT_TRUE(testkit::Eventually([&] {
      return rpc::RawConnection(port_.address()).connected();
    })) << proxy_->Output();
  }

  void RestartUnderLoad() {
    Callers callers(4, std::chrono::milliseconds(1), {port_.address()}, identity_.Caller(),
                    Callers::Unreachable::kFail);
    for (std::size_t replica = 0; replica < kReplicas; ++replica) {
      const int enough = callers.answered() + 300;
      ASSERT_TRUE(testkit::Eventually([&] { return callers.answered() >= enough; }))
          << proxy_->Output();
      ChildProcess& process = servers_[replica]->process();
      process.Signal(SIGTERM);
      ASSERT_EQ(process.Wait(kLimit), Ending::Exited(0)) << process.Output();
      ASSERT_NO_FATAL_FAILURE(Start(replica));
    }
    callers.Stop();
    EXPECT_THAT(callers.lost(), ::testing::IsEmpty()) << proxy_->Output();
  }

  const testkit::TempDir directory_;
  const rpc::SelfSigned identity_;
  std::array<testkit::ReservedPort, kReplicas> ports_;
  std::array<testkit::ReservedPort, kReplicas> admin_;
  const testkit::ReservedPort port_;
  std::array<std::unique_ptr<testkit::ServerProcess>, kReplicas> servers_;
  std::optional<ChildProcess> proxy_;
};

TEST_F(ProxiesTest, HAProxyLosesNothing) {
  std::string text = Read("deploy/haproxy/haproxy.cfg");
  Replace(text, "global\n", "global\n  noreuseport\n");  // The port is reserved for it.
  Replace(text, ":443", port_.address());
  Replace(text, "/etc/haproxy/orders.pem",
          Write("both.pem", identity_.certificate + identity_.key));
  Replace(text, " port 50061", "");  // Each of these has one of its own, on the same machine.
  for (std::size_t i = 0; i < kReplicas; ++i) {
    const std::string admin = admin_[i].address();
    Replace(text, "10.0.0." + std::to_string(i + 1) + ":50051",
            ports_[i].address() + " port " + admin.substr(admin.rfind(':') + 1));
  }
  ASSERT_NO_FATAL_FAILURE(
      StartProxy({"/usr/sbin/haproxy", "-db", "-f", Write("haproxy.cfg", text)}));
  RestartUnderLoad();
}

TEST_F(ProxiesTest, NginxLosesNothing) {
  std::string text = Read("deploy/nginx/orders.conf");
  Replace(text, "listen 443", "listen " + port_.address());
  Replace(text, "/etc/nginx/orders.crt", Write("certificate", identity_.certificate));
  Replace(text, "/etc/nginx/orders.key", Write("key", identity_.key));
  for (std::size_t i = 0; i < kReplicas; ++i) {
    Replace(text, "10.0.0." + std::to_string(i + 1) + ":50051", ports_[i].address());
  }
  const std::string paths = directory_.path();
  // Root would give its files to another user, whom a sandbox does not have.
  std::string main = geteuid() == 0 ? "user root;\n" : "";
  main += "daemon off;\nmaster_process off;\npid " + paths + "/pid;\nerror_log stderr warn;\n" +
          "events {}\nhttp {\naccess_log off;\n";
  for (const std::string kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"}) {
    main += kind + "_temp_path " + paths + "/" + kind + ";\n";
  }
  main += text + "}\n";
  ASSERT_NO_FATAL_FAILURE(StartProxy(
      {"/usr/sbin/nginx", "-e", "stderr", "-p", paths, "-c", Write("nginx.conf", main)}));
  RestartUnderLoad();
}

}  // namespace
}  // namespace process_test
