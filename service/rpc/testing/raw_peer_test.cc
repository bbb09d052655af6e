#include "service/rpc/testing/raw_peer.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/self_signed.h"

namespace rpc {
namespace {

// A server of probe.Probe without any of the harness.
class RawPeerTest : public ::testing::TestWithParam<bool> {
 protected:
  RawPeerTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0",
                             GetParam() ? SelfSigned().Server() : grpc::InsecureServerCredentials(),
                             &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
    options_.tls = GetParam();
  }
  ~RawPeerTest() override { server_->Shutdown(std::chrono::system_clock::now()); }

  ProbeService service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  RawPeer::Options options_;
};

INSTANTIATE_TEST_SUITE_P(Wire, RawPeerTest, ::testing::Bool(), [](const auto& info) {
  return info.param ? std::string("Tls") : std::string("Plaintext");
});

TEST_P(RawPeerTest, IsAnsweredCallAfterCall) {
  RawPeer peer(address_, options_);
  EXPECT_TRUE(peer.open());
  EXPECT_EQ(peer.Call("/probe.Probe/Echo", ""), 1u);
  EXPECT_TRUE(peer.AwaitAnswer(1));
  const std::string note = "\x0a\x05hello";
  EXPECT_EQ(peer.Call("/probe.Probe/Echo", note), 3u);
  const auto data = peer.AwaitOn(3, RawPeer::kData);
  ASSERT_TRUE(data.has_value());
  EXPECT_EQ(data->payload, std::string("\0\0\0\0\x07", 5) + note);
  EXPECT_TRUE(peer.AwaitAnswer(3));
}

TEST_P(RawPeerTest, SendsAMessageThatTakesManyFrames) {
  RawPeer peer(address_, options_);
  const std::string note = std::string("\x0a\xc0\xb8\x02", 4) + std::string(40000, 'x');
  peer.Call("/probe.Probe/Echo", note);
  std::size_t came = 0;
  while (came < note.size() + 5) {
    const auto data = peer.AwaitOn(1, RawPeer::kData);
    ASSERT_TRUE(data.has_value()) << came;
    came += data->payload.size();
  }
  EXPECT_TRUE(peer.AwaitAnswer(1));
}

TEST_P(RawPeerTest, ResetsAStreamWithoutEndingTheConnection) {
  RawPeer peer(address_, options_);
  const std::uint32_t held = peer.Call("/probe.Probe/Hold", "");
  ASSERT_TRUE(service_.AwaitHeld(1));
  peer.Reset(held);
  EXPECT_TRUE(peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", "")));
}

TEST_P(RawPeerTest, SeesAStreamResetByTheServer) {
  RawPeer peer(address_, options_);
  const std::uint32_t stream = peer.Open("/probe.Probe/Echo");
  peer.SendMessage(stream, "", /*half_close=*/false);
  EXPECT_TRUE(peer.AwaitAnswer(stream));
  const auto reset = peer.AwaitOn(stream, RawPeer::kReset);
  ASSERT_TRUE(reset.has_value());
  EXPECT_EQ(reset->error(), 0u);
}

TEST_P(RawPeerTest, IsToldThatItsPingHasArrived) {
  RawPeer peer(address_, options_);
  peer.Ping("12345678");
  std::optional<RawPeer::Frame> ping;
  do {
    ping = peer.Await(RawPeer::kPing);
  } while (ping && ping->flags != RawPeer::kAck);
  ASSERT_TRUE(ping.has_value());
  EXPECT_EQ(ping->payload, "12345678");
}

TEST_P(RawPeerTest, SeesAStoppingServersGoawayAndEnd) {
  RawPeer peer(address_, options_);
  ASSERT_TRUE(peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", "")));
  server_->Shutdown(std::chrono::system_clock::now());
  const auto goaway = peer.Await(RawPeer::kGoaway);
  ASSERT_TRUE(goaway.has_value());
  EXPECT_TRUE(peer.AwaitEnd());
  EXPECT_FALSE(peer.open());
}

TEST_P(RawPeerTest, IsNotOpenWithoutAServer) {
  server_->Shutdown(std::chrono::system_clock::now());
  RawPeer peer(address_, options_);
  EXPECT_FALSE(peer.open());
  EXPECT_FALSE(peer.Next().has_value());
}

}  // namespace
}  // namespace rpc
