// Callers who try to pass the limits of a server, and that the others are served
// meanwhile, operators included, and the shutdown after it is clean.
#include <signal.h>

#include <atomic>
#include <cstdint>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "admin/v1/admin.grpc.pb.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/grpc_version.h"
#include "service/rpc/testing/raw_peer.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"
#include "tests/process/server_under_test.h"

namespace process_test {
namespace {

using ::rpc::RawPeer;
using testkit::Ending;

constexpr char kEcho[] = "/bench.Bench/Echo";
constexpr char kWatch[] = "/bench.Bench/Watch";
// WatchRequest.interval_ms: an hour.
constexpr char kHourly[] = "\x08\x80\xdd\xdb\x01";

class LimitsTest : public ServerUnderTest {
 protected:
  void Serve(const std::vector<std::string>& more = {},
             const std::vector<std::string>& under = {}) {
    std::vector<std::string> flags = kAllTheTime;
    flags.insert(flags.end(), more.begin(), more.end());
    Start("tests/servers/echo/echo_server", flags, under);
    ASSERT_TRUE(Echo().ok());
  }

  void StopsCleanly() {
    process().Signal(SIGTERM);
    EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
  }

  // The log is written by a thread of its own.
  void ExpectWarning(const std::string& words) {
    EXPECT_TRUE(process().AwaitOutput(" W echo: " + words, kLimit)) << Output();
  }

  // The most memory that it has had.
  int PeakMegabytes() {
    std::ifstream status("/proc/" + std::to_string(process().pid()) + "/status");
    for (std::string word; status >> word;) {
      int kilobytes = 0;
      if (word == "VmHWM:" && status >> kilobytes) return kilobytes / 1024;
    }
    ADD_FAILURE() << "no VmHWM";
    return 0;
  }
};

TEST_F(LimitsTest, EndAPeerThatResetsItsStreams) {
  Serve();
  RawPeer peer(address());
  // Newer gRPC refuses most streams of a peer that has not acknowledged its limit.
  EXPECT_TRUE(peer.AwaitAnswer(peer.Call(kEcho, "")));
  for (int i = 0; i < 51500 && peer.open(); ++i) peer.Reset(peer.Open(kEcho));
  EXPECT_TRUE(peer.AwaitEnd());
  EXPECT_TRUE(Echo().ok());
  ExpectWarning("ended a connection: 1 time in the last minute (");
  EXPECT_LT(PeakMegabytes(), 300);
  StopsCleanly();
}

TEST_F(LimitsTest, EndAPeerThatIgnoresTheStreamLimit) {
  Serve();
  std::optional<RawPeer> peer(std::in_place, address(),
                              RawPeer::Options{.acknowledge_settings = false});
  for (int i = 0; i < 20000 && peer->open(); ++i) peer->Call(kWatch, kHourly);
  // Newer gRPC refuses what is above the limit; of older gRPC the connection is ended.
  const std::optional<RawPeer::Frame> refused = peer->Await(RawPeer::kReset);
  EXPECT_TRUE(Echo().ok());
  if (refused) {
    EXPECT_EQ(refused->error(), RawPeer::kEnhanceYourCalm);
  } else {
    EXPECT_FALSE(peer->open());
    ExpectWarning("ended a connection: 1 time in the last minute (too many open streams, ");
  }
  // It reads no more, and what is on the way to it would count as cut.
  if (rpc::kNewGrpc) peer.reset();
  StopsCleanly();
}

TEST_F(LimitsTest, RejectAMessageLargerThanMemory) {
  Serve();
  std::optional<RawPeer> peer(std::in_place, address());
  const std::uint32_t stream = peer->Open(kEcho);
  constexpr std::uint32_t kGigabyte = 1 << 30;
  constexpr std::uint32_t kFrame = 16384;
  peer->Send({RawPeer::kData, 0, stream, std::string("\0\x40\0\0\0", 5)});
  std::int64_t window = 65535 - 5;
  std::int64_t stream_window = window;
  std::uint32_t sent = 0;
  while (sent < kGigabyte && peer->open()) {
    if (window >= kFrame && stream_window >= kFrame) {
      peer->Send({RawPeer::kData, 0, stream, std::string(kFrame, 'x')});
      sent += kFrame;
      window -= kFrame;
      stream_window -= kFrame;
      continue;
    }
    const auto frame = peer->Next();
    if (!frame || frame->type == RawPeer::kReset) break;
    if (frame->type != RawPeer::kWindowUpdate) continue;
    const std::string& bytes = frame->payload;
    std::uint32_t increment = 0;
    for (const char each : bytes) increment = increment << 8 | static_cast<unsigned char>(each);
    (frame->stream == 0 ? window : stream_window) += increment;
  }
  EXPECT_LT(sent, kGigabyte);
  EXPECT_TRUE(Echo().ok());
  EXPECT_LT(PeakMegabytes(), 150);
  // Its stream is open, and what is still arriving would count as cut.
  if (rpc::kNewGrpc) peer.reset();
  StopsCleanly();
}

TEST_F(LimitsTest, RejectCompressedRequests) {
  Serve();
  const auto channel = rpc::NewConnection(address());
  grpc::ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  bench::EchoRequest request;
  request.set_payload(std::string(1 << 20, 'x'));
  bench::EchoReply reply;
  EXPECT_EQ(bench::Bench::NewStub(channel)->Echo(&context, request, &reply).error_code(),
            grpc::UNIMPLEMENTED);
  StopsCleanly();
}

TEST_F(LimitsTest, ReserveDescriptorsForOperators) {
  const testkit::TempDir directory;
  Serve({"--admin_address=127.0.0.1:0", "--admin_port_file=" + directory.File("admin")},
        {"/bin/sh", "-c", "ulimit -n 256 && exec \"$@\"", "sh"});
  std::vector<std::unique_ptr<RawPeer>> watches;
  for (int i = 0; i < 234; ++i) {
    watches.push_back(std::make_unique<RawPeer>(address()));
    watches.back()->Call(kWatch, kHourly);
  }
  EXPECT_TRUE(watches.back()->AwaitEnd()) << "there is a limit";
  EXPECT_TRUE(Echo().ok()) << "who is there is served";
  ExpectWarning("refused a connection: ");
  std::string admin_address;
  std::getline(std::ifstream(directory.File("admin")), admin_address);
  admin::v1::GetStateResponse state;
  const grpc::Status answered = admin::v1::AdminService::NewStub(rpc::NewConnection(admin_address))
                                    ->GetState(rpc::Bounded().get(), {}, &state);
  EXPECT_TRUE(answered.ok()) << answered.error_message();
  watches.clear();
  EXPECT_TRUE(testkit::Eventually([&] {
    bench::EchoReply reply;
    return bench::Bench::NewStub(rpc::NewConnection(address()))
        ->Echo(rpc::Bounded().get(), {}, &reply)
        .ok();
  })) << "there is room again";
  StopsCleanly();
}

TEST_F(LimitsTest, AStormOfConnectionsKeepsNoneOpen) {
  Serve();
  std::atomic<bool> over{false};
  std::vector<std::thread> storm;
  for (int i = 0; i < 16; ++i) {
    storm.emplace_back([&] {
      while (!over) rpc::RawConnection caller(address());
    });
  }
  const auto is_served = [this] { return Echo().ok(); };
  EXPECT_TRUE(rpc::kServesInAStorm ? is_served() : testkit::Eventually(is_served)) << Output();
  process().Signal(SIGTERM);
  EXPECT_TRUE(process().AwaitOutput(" ListenerClosed", kLimit)) << Output();
  // From now on it takes nothing but the server's processor.
  over = true;
  for (std::thread& each : storm) each.join();
  EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
}

}  // namespace
}  // namespace process_test
