// What callers do who are frozen, broken or hostile, and that none of it holds up a
// stop: nothing they do is worth waiting for.
#include <signal.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "tests/common/child_process.h"
#include "tests/common/eventually.h"
#include "tests/common/order_rules.h"
#include "tests/common/runfiles.h"
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using ::rpc::RawConnection;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using testkit::Ending;

constexpr std::size_t kConnections = 50;

class BadCallersTest : public ServerUnderTest {
 protected:
  // Less than the 20 s for which gRPC by itself waits for such connections when it
  // shuts down.
  static constexpr std::chrono::seconds kLimit{18};

  void SetUp() override { Start("tests/servers/echo/echo_server", kAllTheTime); }

  // A good caller is served, and so everything before it was noticed.
  void Echo() {
    bench::EchoReply reply;
    const auto stub = bench::Bench::NewStub(rpc::NewConnection(address()));
    const grpc::Status status = stub->Echo(rpc::Bounded().get(), {}, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
  }

  // The shutdown has found nothing worth waiting for.
  void StopsAsIfNobodyWereThere() {
    process().Signal(SIGTERM);
    EXPECT_EQ(testkit::AwaitShutdown(process(), kLimit), Ending::Exited(0)) << Output();
    EXPECT_THAT(
        EventNames(),
        ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                    "GoodbyeSaid", AnyOf("ConnectionsGone", "ConnectionsRemain"), "NewCallsRefused",
                    "CallsFinished", "ServerStopped", "WorkersStopped", "Stopped"))
        << Output();
    EXPECT_THAT(Output(), Not(HasSubstr("ConnectionsRemain: busy")));
  }
};

TEST_F(BadCallersTest, AFrozenProcessThatReadsAStream) {
  testkit::ChildProcess caller({testkit::RunfileOrDie("tests/process/endless_watcher"), address()});
  ASSERT_TRUE(caller.AwaitOutput("watching", kLimit)) << caller.Output();
  caller.Signal(SIGSTOP);
  StopsAsIfNobodyWereThere();
  caller.Signal(SIGCONT);
  // Its goodbye was waiting for it.
  EXPECT_EQ(caller.Wait(kLimit), Ending::Exited(3)) << caller.Output();
}

TEST_F(BadCallersTest, APortScanThatConnectsAndLeaves) {
  for (std::size_t i = 0; i < kConnections; ++i) EXPECT_TRUE(RawConnection(address()).connected());
  Echo();
  StopsAsIfNobodyWereThere();
}

TEST_F(BadCallersTest, APortScanThatStays) {
  std::vector<std::unique_ptr<RawConnection>> scan;
  for (std::size_t i = 0; i < kConnections; ++i) {
    scan.push_back(std::make_unique<RawConnection>(address()));
    ASSERT_TRUE(scan.back()->connected());
  }
  Echo();
  StopsAsIfNobodyWereThere();
}

TEST_F(BadCallersTest, ThoseWhoSpeakAnotherProtocol) {
  std::vector<std::unique_ptr<RawConnection>> others;
  for (const std::string& words :
       {std::string("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11),
        std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string(1000, '\0')}) {
    others.push_back(std::make_unique<RawConnection>(address()));
    others.back()->Send(words);
  }
  Echo();
  StopsAsIfNobodyWereThere();
}

TEST_F(BadCallersTest, AHalfClosedConnectionThatOwesAMessage) {
  RawConnection caller(address());
  caller.Send(rpc::Http2Preface() + rpc::Http2Headers("/bench.Bench/Echo"));
  caller.EndSending();
  Echo();
  StopsAsIfNobodyWereThere();
}

TEST_F(BadCallersTest, IncompleteRequestsAreCutAndCounted) {
  Start("tests/servers/echo/echo_server",
        {"--termination_grace=1h", "--shutdown_lame_duck=0", "--shutdown_drain_connections=100ms",
         "--shutdown_drain_calls=100ms"});
  std::vector<std::unique_ptr<RawConnection>> slow;
  for (std::size_t i = 0; i < kConnections; ++i) {
    slow.push_back(std::make_unique<RawConnection>(address()));
    slow.back()->Send(rpc::Http2Preface());
    // A frame of headers that is 4000 bytes long, says its beginning, with one that takes all of it.
    slow.back()->Send(std::string("\x00\x0f\xa0\x01\x04\x00\x00\x00\x01", 9));
    slow.back()->Send(std::string("\x00\x01x\x7f\x9b\x1e", 6));
  }
  std::atomic<bool> stopped = false;
  std::atomic<int> sent = 0;
  std::thread drip([&] {
    for (int i = 0; i < 3900 && !stopped; ++i) {
      for (const auto& connection : slow) connection->Send("a");
      ++sent;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));  // How slow they are.
    }
  });
  Echo();
  EXPECT_TRUE(testkit::Eventually([&] { return sent >= 10; }));
  process().Signal(SIGTERM);
  EXPECT_EQ(testkit::AwaitShutdown(process(), kLimit), Ending::Exited(3)) << Output();
  EXPECT_EQ(Event("CallsCut").detail, "50 requests were still arriving");
  stopped = true;
  drip.join();
}

}  // namespace
}  // namespace process_test
