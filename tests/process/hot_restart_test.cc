// A server that is replaced by another process on the same address, under callers who do nothing for
// it: no call fails, and no connection is refused. A replacement that fails changes nothing.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/security/credentials.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/child_process.h"
#include "tests/common/eventually.h"
#include "tests/common/order_rules.h"
#include "tests/common/runfiles.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/process/echo_call.h"
#include "tests/process/looping_callers.h"
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testkit::ChildProcess;
using testkit::Ending;

constexpr std::chrono::seconds kLimit{40};

int Restarts() {
  const char* const text = std::getenv("RESTARTS");
  return text == nullptr ? 5 : std::atoi(text);
}

// Connects again and again, without a word, and counts how often nobody listens.
class Connector {
 public:
  explicit Connector(const std::string& address)
      : thread_([this, address](const std::stop_token& stop) {
          while (!stop.stop_requested()) {
            ++(rpc::RawConnection(address).connected() ? connected_ : refused_);
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          }
        }) {}

  void Stop() {
    thread_.request_stop();
    thread_.join();
  }
  int connected() const { return connected_; }
  int refused() const { return refused_; }

 private:
  std::atomic<int> connected_{0};
  std::atomic<int> refused_{0};
  std::jthread thread_;
};

class HotRestartTest : public ::testing::Test {
 protected:
  // Each has the same flags: who runs already is replaced. An hour for everything but the lame duck,
  // which lasts longer than any test: a handover has none.
  void Start(std::vector<std::string> more_flags = {}) {
    std::vector<std::string> flags = {"--termination_grace=2h", "--shutdown_lame_duck=1h",
                                      "--takeover=" + path_};
    flags.insert(flags.end(), flags_.begin(), flags_.end());
    flags.insert(flags.end(), more_flags.begin(), more_flags.end());
    auto server =
        testkit::ServerProcess::Start({.binary = "tests/servers/echo/echo_server", .flags = flags});
    ASSERT_TRUE(server.ok()) << server.status();
    old_ = std::exchange(server_, *std::move(server));
    stub_ = bench::Bench::NewStub(rpc::NewConnection(server_->address()));
  }

  // A server that cannot or does not start, with the same flags.
  ChildProcess StartsBadly(const std::string& binary, const std::string& flag) {
    return ChildProcess(
        {testkit::RunfileOrDie(binary), "--address=127.0.0.1:0", "--takeover=" + path_, flag});
  }

  void ExpectOldOneToLeave() {
    EXPECT_EQ(testkit::AwaitShutdown(old_->process(), kLimit), Ending::Exited(0));
    EXPECT_THAT(old_->process().Output(), HasSubstr("ShutdownRequested: handover: to process " +
                                                    std::to_string(server_->process().pid())));
  }

  bool Serves() { return EchoCall(*stub_, 0, kLimit).Status().ok(); }

  // Restarts it when each caller has had some answers meanwhile.
  void RestartUnder(Callers& callers) {
    Connector connector(server_->address());
    const std::string address = server_->address();
    for (int i = 0; i < Restarts(); ++i) {
      const int enough = callers.answered() + 500;
      ASSERT_TRUE(testkit::Eventually([&] { return callers.answered() >= enough; }));
      ASSERT_NO_FATAL_FAILURE(Start());
      EXPECT_EQ(server_->address(), address);
      ExpectOldOneToLeave();
    }
    callers.Stop();
    connector.Stop();
    EXPECT_THAT(callers.lost(), IsEmpty());
    EXPECT_EQ(connector.refused(), 0);
    EXPECT_GT(connector.connected(), 0);
  }

  const testkit::TempDir directory_{"/tmp"};  // Short enough for a socket's name.
  const std::string path_ = directory_.File("takeover");
  std::vector<std::string> flags_;
  std::unique_ptr<testkit::ServerProcess> server_;
  std::unique_ptr<testkit::ServerProcess> old_;
  std::unique_ptr<bench::Bench::Stub> stub_;
};

TEST_F(HotRestartTest, ImpatientCallersLoseNothing) {
  ASSERT_NO_FATAL_FAILURE(Start());
  Callers callers(8, std::chrono::milliseconds(0), {server_->address()},
                  grpc::InsecureChannelCredentials(), Callers::Unreachable::kFail);
  RestartUnder(callers);
}

TEST_F(HotRestartTest, WithTlsImpatientCallersLoseNothing) {
  const rpc::SelfSigned identity;
  std::ofstream(directory_.File("certificate")) << identity.certificate;
  std::ofstream(directory_.File("key")) << identity.key;
  flags_ = {"--tls_certificate=" + directory_.File("certificate"),
            "--tls_key=" + directory_.File("key")};
  ASSERT_NO_FATAL_FAILURE(Start());
  Callers callers(8, std::chrono::milliseconds(0), {server_->address()}, identity.Caller(),
                  Callers::Unreachable::kFail);
  RestartUnder(callers);
}

TEST_F(HotRestartTest, AnswersWhatTheOldOneHasAccepted) {
  ASSERT_NO_FATAL_FAILURE(Start());
  ASSERT_TRUE(Serves());
  const auto old_stub = std::move(stub_);
  EchoCall running(*old_stub, /*sleep_ms=*/1000, kLimit, "payload");
  ASSERT_TRUE(EchoCall(*old_stub, 0, kLimit).Status().ok());  // So that one is accepted.
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_TRUE(Serves());
  EXPECT_TRUE(running.Status().ok());
  EXPECT_EQ(running.Payload(), "payload");
  ExpectOldOneToLeave();
}

TEST_F(HotRestartTest, AReplacementThatCannotStartChangesNothing) {
  ASSERT_NO_FATAL_FAILURE(Start());
  for (int attempt = 0; attempt < 2; ++attempt) {
    ChildProcess bad = StartsBadly("tests/servers/echo/echo_server",
                                   "--port_file=" + directory_.File("missing/port"));
    EXPECT_EQ(testkit::AwaitShutdown(bad, kLimit), Ending::Exited(2));
    EXPECT_TRUE(server_->process().AwaitOutput(
        "process " + std::to_string(bad.pid()) + " was about to take over", kLimit));
    EXPECT_TRUE(Serves());
  }
  ASSERT_NO_FATAL_FAILURE(Start());
  ExpectOldOneToLeave();
  EXPECT_TRUE(Serves());
}

TEST_F(HotRestartTest, AReplacementDyingAtStartChangesNothing) {
  ASSERT_NO_FATAL_FAILURE(Start());
  {
    ChildProcess bad = StartsBadly("tests/process/faulty_server", "--fault=start=callers");
    ASSERT_TRUE(bad.AwaitOutput("opening callers", kLimit)) << bad.Output();
    bad.Signal(SIGKILL);
    EXPECT_EQ(bad.Wait(kLimit), Ending::Killed(SIGKILL));
  }
  EXPECT_TRUE(server_->process().AwaitOutput("this one goes on", kLimit));
  Connector connector(server_->address());
  EXPECT_TRUE(testkit::Eventually([&] { return connector.connected() > 20; }));
  connector.Stop();
  EXPECT_EQ(connector.refused(), 0);
  EXPECT_TRUE(Serves());
  ASSERT_NO_FATAL_FAILURE(Start());
  ExpectOldOneToLeave();
}

// It has bound its address, and would be closed by nobody.
TEST_F(HotRestartTest, TakesOnlyAddressesThatItNames) {
  ASSERT_NO_FATAL_FAILURE(Start());
  const std::string before = server_->address();
  ASSERT_NO_FATAL_FAILURE(Start({"--address=localhost:0"}));
  EXPECT_NE(server_->address(), before);
  ExpectOldOneToLeave();
  EXPECT_FALSE(rpc::RawConnection(before).connected());
  EXPECT_TRUE(Serves());
}

// A crash leaves the socket file behind.
TEST_F(HotRestartTest, StartsAfterACrash) {
  ASSERT_NO_FATAL_FAILURE(Start());
  server_->process().Signal(SIGKILL);
  EXPECT_EQ(server_->process().Wait(kLimit), Ending::Killed(SIGKILL));
  ASSERT_NO_FATAL_FAILURE(Start());
  EXPECT_TRUE(Serves());
}

TEST_F(HotRestartTest, AFrozenOldOneIsNamed) {
  ASSERT_NO_FATAL_FAILURE(Start());
  server_->process().Signal(SIGSTOP);
  ChildProcess bad = StartsBadly("tests/servers/echo/echo_server", "--shutdown_lame_duck=0");
  EXPECT_EQ(testkit::AwaitShutdown(bad, kLimit), Ending::Exited(2));
  EXPECT_THAT(bad.Output(), AllOf(HasSubstr("process " + std::to_string(server_->process().pid())),
                                  HasSubstr("hands nothing over")));
  server_->process().Signal(SIGCONT);
  EXPECT_TRUE(Serves());
}

}  // namespace
}  // namespace process_test
