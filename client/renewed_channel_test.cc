#include "client/renewed_channel.h"

#include <chrono>
#include <memory>

#include "client/testing/fake_server.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "tests/common/eventually.h"

namespace client {
namespace {

// To a server that speaks plain text: a channel with TLS is never connected.
class RenewedChannelTest : public testing::Test {
 protected:
  // Plain text first.
  RenewedChannel NewChannel() {
    return {[this] { return credentials_; },
            [this](const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
              return grpc::CreateChannel(server_.address(), credentials);
            }};
  }

  static bool Connect(grpc::Channel& channel) {
    return channel.WaitForConnected(std::chrono::system_clock::now() + testkit::kLong);
  }

  const FakeServer server_;
  std::shared_ptr<grpc::ChannelCredentials> credentials_ = grpc::InsecureChannelCredentials();
};

TEST_F(RenewedChannelTest, StaysWithTheSameCredentials) {
  RenewedChannel channel = NewChannel();
  EXPECT_EQ(channel.Latest(), channel.Latest());
}

TEST_F(RenewedChannelTest, LeavesAChannelThatIsNotConnected) {
  RenewedChannel channel = NewChannel();
  const auto before = channel.Latest();
  credentials_ = grpc::SslCredentials({});
  EXPECT_NE(channel.Latest(), before);
}

TEST_F(RenewedChannelTest, KeepsAConnectedChannelUntilTheNewOneConnects) {
  RenewedChannel channel = NewChannel();
  const auto before = channel.Latest();
  ASSERT_TRUE(Connect(*before));
  credentials_ = grpc::SslCredentials({});
  for (int i = 0; i < 3; ++i) EXPECT_EQ(channel.Latest(), before);
  credentials_ = grpc::InsecureChannelCredentials();
  ASSERT_TRUE(testkit::Eventually([&] { return channel.Latest() != before; }));
  EXPECT_EQ(channel.Latest()->GetState(false), GRPC_CHANNEL_READY);
}

}  // namespace
}  // namespace client
