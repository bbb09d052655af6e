// Replicas that restart in turn under callers who do nothing for it: no retry policy, no
// health check, pick_first over all of them. No call is lost, with TLS or without.
#include <signal.h>

#include <array>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/child_process.h"
#include "tests/common/eventually.h"
#include "tests/common/reserved_port.h"
#include "tests/common/server_process.h"
#include "tests/common/slow_link.h"
#include "tests/common/temp_dir.h"
#include "tests/process/looping_callers.h"
#include "tests/process/server_under_test.h"

namespace process_test {
namespace {

using testkit::Ending;

// With TLS or without.
class RestartTest : public ::testing::TestWithParam<bool> {
 protected:
  static constexpr int kReplicas = 3;
  static constexpr std::chrono::seconds kLimit{40};

  void SetUp() override {
    if (!GetParam()) return;
    const rpc::SelfSigned identity;
    std::ofstream(directory_.File("certificate")) << identity.certificate;
    std::ofstream(directory_.File("key")) << identity.key;
    flags_.push_back("--tls_certificate=" + directory_.File("certificate"));
    flags_.push_back("--tls_key=" + directory_.File("key"));
    credentials_ = identity.Caller();
  }

  void Start(int replica) {
    auto server = testkit::ServerProcess::Start({.binary = "tests/servers/echo/echo_server",
                                                 .flags = flags_,
                                                 .address = ports_[replica].address()});
    ASSERT_TRUE(server.ok()) << server.status();
    servers_[replica] = *std::move(server);
  }

  // Restarts one after the other, when each caller has had some answers meanwhile.
  void RestartUnder(Callers& callers, int restarts, int answers_between) {
    for (int i = 0; i < restarts; ++i) {
      const int enough = callers.answered() + answers_between;
      ASSERT_TRUE(testkit::Eventually([&] { return callers.answered() >= enough; }));
      const int replica = i % kReplicas;
      testkit::ChildProcess& process = servers_[replica]->process();
      process.Signal(SIGTERM);
      ASSERT_EQ(process.Wait(kLimit), Ending::Exited(0)) << process.Output();
      Start(replica);
    }
    callers.Stop();
  }

  const testkit::TempDir directory_;
  std::vector<std::string> flags_ = kAllTheTime;
  std::shared_ptr<grpc::ChannelCredentials> credentials_ = grpc::InsecureChannelCredentials();
  std::array<testkit::ReservedPort, kReplicas> ports_;
  std::array<std::unique_ptr<testkit::ServerProcess>, kReplicas> servers_;
};

INSTANTIATE_TEST_SUITE_P(Over, RestartTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Tls" : "Plaintext"; });

TEST_P(RestartTest, BusyCallersLoseNothing) {
  std::vector<std::string> addresses;
  for (int i = 0; i < kReplicas; ++i) {
    ASSERT_NO_FATAL_FAILURE(Start(i));
    addresses.push_back(ports_[i].address());
  }
  Callers callers(8, std::chrono::milliseconds(0), addresses, credentials_);
  RestartUnder(callers, /*restarts=*/9, /*answers_between=*/1000);
  EXPECT_THAT(callers.lost(), ::testing::IsEmpty());
}

// They poll nothing between two calls, and are a round trip of 100 ms away.
TEST_P(RestartTest, OccasionalCallersFarAwayLoseNothing) {
  std::vector<std::unique_ptr<testkit::SlowLink>> links;
  std::vector<std::string> addresses;
  for (int i = 0; i < kReplicas; ++i) {
    ASSERT_NO_FATAL_FAILURE(Start(i));
    links.push_back(std::make_unique<testkit::SlowLink>(
        ports_[i].address(), testkit::SlowLink::Options{.delay = std::chrono::milliseconds(50)}));
    addresses.push_back(links.back()->address());
  }
  Callers callers(30, std::chrono::milliseconds(500), addresses, credentials_);
  RestartUnder(callers, /*restarts=*/6, /*answers_between=*/60);
  EXPECT_THAT(callers.lost(), ::testing::IsEmpty());
}

}  // namespace
}  // namespace process_test
