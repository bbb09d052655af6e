#include "service/rpc/channelz/channel_sockets.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using ::probe::Note;
using ::probe::Probe;

class ChannelSocketsTest : public ::testing::Test {
 protected:
  ChannelSocketsTest() {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.RegisterService(&probe_);
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    server_ = builder.BuildAndStart();
    target_ = "127.0.0.1:" + std::to_string(port);
    own_.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  }

  std::shared_ptr<grpc::Channel> Make(ChannelSockets& sockets) {
    return ChannelSockets::MakeChannel(target_, own_, grpc::InsecureChannelCredentials(), sockets);
  }

  static bool Connect(const std::shared_ptr<grpc::Channel>& channel) {
    Note note;
    return Probe::NewStub(channel)->Echo(Bounded().get(), note, &note).ok();
  }

  ProbeService probe_;
  std::unique_ptr<grpc::Server> server_;
  std::string target_;
  grpc::ChannelArguments own_;
};

TEST_F(ChannelSocketsTest, AreNoneWithoutAChannel) { EXPECT_EQ(ChannelSockets().Count(), 0); }

TEST_F(ChannelSocketsTest, AreThoseOfTheirOwnChannelOnly) {
  ChannelSockets first, second, third;
  const auto one = Make(first);
  const auto two = Make(second);
  const auto three = Make(third);
  EXPECT_TRUE(Connect(two));
  EXPECT_EQ(first.Count(), 0);
  EXPECT_EQ(second.Count(), 1);
  EXPECT_EQ(third.Count(), 0);
  EXPECT_TRUE(Connect(one));
  EXPECT_EQ(first.Count(), 1);
  EXPECT_EQ(second.Count(), 1);
}

TEST_F(ChannelSocketsTest, AreFoundHoweverTheTargetIsWritten) {
  const std::string port = target_.substr(target_.find(':') + 1);
  for (const char* host : {"localhost:", "dns:///localhost:", "ipv4:127.0.0.1:"}) {
    target_ = host + port;
    ChannelSockets sockets;
    const auto channel = Make(sockets);
    EXPECT_TRUE(Connect(channel)) << target_;
    EXPECT_EQ(sockets.Count(), 1) << target_;
  }
}

TEST_F(ChannelSocketsTest, AreNoneOnceTheChannelIsGone) {
  ChannelSockets sockets;
  auto channel = Make(sockets);
  EXPECT_TRUE(Connect(channel));
  EXPECT_EQ(sockets.Count(), 1);
  channel.reset();
  EXPECT_TRUE(testkit::Eventually([&] { return sockets.Count() == 0; }));
}

TEST_F(ChannelSocketsTest, AreNoneOnceTheServerIsGone) {
  ChannelSockets sockets;
  const auto channel = Make(sockets);
  EXPECT_TRUE(Connect(channel));
  EXPECT_EQ(sockets.Count(), 1);
  server_->Shutdown(std::chrono::system_clock::now());
  EXPECT_TRUE(testkit::Eventually([&] { return sockets.Count() == 0; }));
}

}  // namespace
}  // namespace rpc
