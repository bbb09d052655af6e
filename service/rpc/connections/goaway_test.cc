// The contract of goaway.h, held against the gRPC that is linked: it calls a symbol that
// gRPC does not promise.
#include "service/rpc/connections/goaway.h"

#include <grpc/grpc.h>
#include <grpc/support/time.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "grpcpp/alarm.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/raw_peer.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using Frame = RawPeer::Frame;

constexpr char kEcho[] = "/probe.Probe/Echo";
constexpr char kHold[] = "/probe.Probe/Hold";

class GoawayTest : public ::testing::TestWithParam<bool> {
 protected:
  GoawayTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0",
                             GetParam() ? SelfSigned().Server() : grpc::InsecureServerCredentials(),
                             &port);
    builder.AddChannelArgument(GRPC_ARG_HTTP2_BDP_PROBE, 0);  // No PING but those of GOAWAY.
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
    sender_.emplace(*server_);
    options_.tls = GetParam();
  }
  ~GoawayTest() override {
    service_.Release();
    EndServer();
  }

  void EndServer() {
    sender_.reset();
    if (server_) server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
  }

  // One whole round.
  void Send() {
    sender_->Send();
    ASSERT_TRUE(testkit::Eventually([&] { return sender_->Idle(); }));
  }

  bool Echo(RawPeer& peer) { return peer.AwaitAnswer(peer.Call(kEcho, "")); }

  // Reads the first GOAWAY, which lets everything cross, and the PING behind it, which is
  // left without an answer.
  static Frame AwaitFirst(RawPeer& peer) {
    const std::optional<Frame> goaway = peer.Await(RawPeer::kGoaway);
    peer.HoldPings();
    EXPECT_TRUE(goaway.has_value());
    if (!goaway) return {};
    EXPECT_EQ(goaway->last_stream(), RawPeer::kMaxStream);
    EXPECT_EQ(goaway->error(), 0u);
    const std::optional<Frame> ping = peer.Await(RawPeer::kPing);
    EXPECT_TRUE(ping.has_value());
    EXPECT_TRUE(ping && ping->flags == 0);
    return ping.value_or(Frame());
  }

  // Reads the second one, which says what was let in.
  static std::uint32_t AwaitFinal(RawPeer& peer) {
    const std::optional<Frame> goaway = peer.Await(RawPeer::kGoaway);
    EXPECT_TRUE(goaway.has_value());
    return goaway ? goaway->last_stream() : 0;
  }

  ProbeService service_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::optional<GoawaySender> sender_;
  RawPeer::Options options_;
};

INSTANTIATE_TEST_SUITE_P(Wire, GoawayTest, ::testing::Bool(), [](const auto& info) {
  return info.param ? std::string("Tls") : std::string("Plaintext");
});

TEST_P(GoawayTest, IsAvailable) { EXPECT_TRUE(GoawaySender::Available()); }

TEST_P(GoawayTest, AnIdleConnectionLeavesAfterItsPing) {
  RawPeer peer(address_, options_);
  ASSERT_TRUE(Echo(peer));
  Send();
  peer.Acknowledge(AwaitFirst(peer));
  EXPECT_EQ(AwaitFinal(peer), 1u);
  EXPECT_TRUE(peer.AwaitEnd());
}

TEST_P(GoawayTest, ServesAStreamThatCrossesIt) {
  RawPeer peer(address_, options_);
  ASSERT_TRUE(Echo(peer));
  Send();
  const Frame ping = AwaitFirst(peer);
  EXPECT_TRUE(Echo(peer));
  const std::uint32_t last = peer.Call(kHold, "");
  ASSERT_TRUE(service_.AwaitHeld(1));
  peer.Acknowledge(ping);
  EXPECT_EQ(AwaitFinal(peer), last);
  service_.Release();
  EXPECT_TRUE(peer.AwaitAnswer(last));
  EXPECT_TRUE(peer.AwaitEnd());
}

TEST_P(GoawayTest, LetsARunningCallFinish) {
  RawPeer peer(address_, options_);
  const std::uint32_t held = peer.Call(kHold, "");
  ASSERT_TRUE(service_.AwaitHeld(1));
  Send();
  peer.Acknowledge(AwaitFirst(peer));
  EXPECT_EQ(AwaitFinal(peer), held);
  service_.Release();
  EXPECT_TRUE(peer.AwaitAnswer(held));
  EXPECT_TRUE(peer.AwaitEnd());
}

TEST_P(GoawayTest, LetsARequestThatIsStillArrivingFinish) {
  RawPeer peer(address_, options_);
  ASSERT_TRUE(Echo(peer));
  const std::uint32_t stream = peer.Open(kEcho);
  const std::string message(5, '\0');
  peer.Send({RawPeer::kData, 0, stream, message.substr(0, 2)});
  Send();
  peer.Acknowledge(AwaitFirst(peer));
  EXPECT_EQ(AwaitFinal(peer), stream);
  peer.Send({RawPeer::kData, RawPeer::kEndStream, stream, message.substr(2)});
  EXPECT_TRUE(peer.AwaitAnswer(stream));
}

TEST_P(GoawayTest, IsHarmlessWhenItIsRepeated) {
  RawPeer peer(address_, options_);
  ASSERT_TRUE(Echo(peer));
  Send();
  const Frame ping = AwaitFirst(peer);
  for (int i = 0; i < 3; ++i) Send();
  // Nothing but this answer has come.
  const std::uint32_t last = peer.Call(kEcho, "");
  for (;;) {
    const std::optional<Frame> frame = peer.Next();
    ASSERT_TRUE(frame.has_value());
    EXPECT_NE(frame->type, RawPeer::kGoaway);
    EXPECT_NE(frame->type, RawPeer::kPing);
    if (frame->type == RawPeer::kHeaders && (frame->flags & RawPeer::kEndStream) != 0) break;
  }
  peer.Acknowledge(ping);
  EXPECT_EQ(AwaitFinal(peer), last);
  EXPECT_TRUE(peer.AwaitEnd());
}

TEST_P(GoawayTest, MayBeRequestedDuringARound) {
  RawPeer peer(address_, options_);
  ASSERT_TRUE(Echo(peer));
  for (int i = 0; i < 100; ++i) sender_->Send();
  peer.Acknowledge(AwaitFirst(peer));
  EXPECT_EQ(AwaitFinal(peer), 1u);
  EXPECT_TRUE(testkit::Eventually([&] { return sender_->Idle(); }));
}

TEST_P(GoawayTest, ReportsBeingDestroyedWhileItSends) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        // A thread of gRPC's that had nothing else to do might end the round at once.
        std::deque<grpc::Alarm> busy;
        for (int i = 0; i < 1000; ++i) {
          busy.emplace_back().Set(gpr_time_0(GPR_CLOCK_MONOTONIC), [](bool) { pause(); });
          sender_.emplace(*server_);
          sender_->Send();
          sender_.reset();
        }
      },
      "broken precondition: a GoawaySender is destroyed while it sends");
}

TEST_P(GoawayTest, ReachesEveryConnectionWhileTheServerKeepsServing) {
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 20; ++i) {
    peers.push_back(std::make_unique<RawPeer>(address_, options_));
    ASSERT_TRUE(Echo(*peers.back()));
  }
  Send();
  for (const std::unique_ptr<RawPeer>& peer : peers) {
    peer->Acknowledge(AwaitFirst(*peer));
    EXPECT_EQ(AwaitFinal(*peer), 1u);
    EXPECT_TRUE(peer->AwaitEnd());
  }
  RawPeer later(address_, options_);
  EXPECT_TRUE(Echo(later));
}

TEST_P(GoawayTest, ReachesALaterConnectionInTheNextRound) {
  Send();
  RawPeer late(address_, options_);
  ASSERT_TRUE(Echo(late));
  Send();
  late.Acknowledge(AwaitFirst(late));
  EXPECT_EQ(AwaitFinal(late), 1u);
  EXPECT_TRUE(late.AwaitEnd());
}

TEST_P(GoawayTest, LetsTheServerShutDownAsUsual) {
  RawPeer answered(address_, options_);
  ASSERT_TRUE(Echo(answered));
  RawPeer unanswered(address_, options_);
  ASSERT_TRUE(Echo(unanswered));
  Send();
  answered.Acknowledge(AwaitFirst(answered));
  AwaitFirst(unanswered);
  EndServer();
  EXPECT_TRUE(answered.AwaitEnd());
  EXPECT_TRUE(unanswered.AwaitEnd());
}

TEST_P(GoawayTest, IsHarmlessOnceTheServerHasShutDown) {
  RawPeer peer(address_, options_);
  ASSERT_TRUE(Echo(peer));
  server_->Shutdown(std::chrono::system_clock::now());
  for (int i = 0; i < 3; ++i) Send();
  EXPECT_TRUE(peer.AwaitEnd());
  for (int i = 0; i < 3; ++i) Send();
}

}  // namespace
}  // namespace rpc
