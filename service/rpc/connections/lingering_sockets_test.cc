#include "service/rpc/connections/lingering_sockets.h"

#include <fcntl.h>
#include <grpc/grpc.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/connections/goaway.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/raw_peer.h"
#include "service/rpc/testing/self_signed.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

constexpr int kMuch = 100000;  // Bytes that a caller's small buffer has no room for.

// One connection, whose caller does not read until it is told to.
class LingeringSocketsTest : public ::testing::TestWithParam<int> {
 protected:
  LingeringSocketsTest() {
    const int listener = socket(GetParam(), SOCK_STREAM, 0);
    EXPECT_EQ(listen(listener, 1), 0);  // Anywhere.
    sockaddr_in6 address{};
    socklen_t size = sizeof address;
    EXPECT_EQ(getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size), 0);
    port_ = ntohs(address.sin6_port);
    caller_ = socket(GetParam(), SOCK_STREAM, 0);
    const int small = 4096;
    setsockopt(caller_, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    const timeval limit = {20, 0};
    setsockopt(caller_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    EXPECT_EQ(connect(caller_, reinterpret_cast<sockaddr*>(&address), size), 0);
    server_ = accept(listener, nullptr, nullptr);
    close(listener);
  }
  ~LingeringSocketsTest() override {
    if (caller_ >= 0) close(caller_);
  }

  void ServerSends(int bytes) {
    const std::string text(static_cast<std::size_t>(bytes), 'x');
    EXPECT_EQ(send(server_, text.data(), text.size(), MSG_NOSIGNAL), bytes);
  }

  // As gRPC does it.
  void ServerCloses() {
    shutdown(server_, SHUT_RDWR);
    close(server_);
  }

  void CallerSends(const std::string& text) {
    EXPECT_EQ(send(caller_, text.data(), text.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(text.size()));
  }

  // How many bytes the caller gets before the end.
  int CallerReadsToTheEnd() {
    char bytes[4096];
    int all = 0;
    for (ssize_t got; (got = recv(caller_, bytes, sizeof bytes, 0)) > 0;) {
      all += static_cast<int>(got);
    }
    return all;
  }

  void CallerCloses() {
    close(caller_);
    caller_ = -1;
  }

  std::uint16_t port_ = 0;
  int server_ = -1;
  int caller_ = -1;
};

INSTANTIATE_TEST_SUITE_P(Family, LingeringSocketsTest, ::testing::Values(AF_INET, AF_INET6),
                         [](const auto& info) {
                           return info.param == AF_INET ? std::string("V4") : std::string("V6");
                         });

TEST_P(LingeringSocketsTest, AreNoneWhereEverythingHasLeft) {
  LingeringSockets sockets({port_});
  ServerCloses();
  EXPECT_TRUE(sockets.AllClosed());
  EXPECT_EQ(CallerReadsToTheEnd(), 0);
}

TEST_P(LingeringSocketsTest, SendTheirBytesWhileTheCallerKeepsSending) {
  LingeringSockets sockets({port_});
  ServerSends(kMuch);
  ServerCloses();
  EXPECT_FALSE(sockets.AllClosed());
  for (int i = 0; i < 10; ++i) CallerSends("a window update");
  EXPECT_FALSE(sockets.AllClosed());
  EXPECT_EQ(CallerReadsToTheEnd(), kMuch);
  CallerCloses();
  EXPECT_TRUE(testkit::Eventually([&] { return sockets.AllClosed(); }));
}

TEST_P(LingeringSocketsTest, SendWhatTheyHoldDespiteUnreadBytes) {
  LingeringSockets sockets({port_});
  CallerSends("never read");
  ServerSends(kMuch);
  ServerCloses();
  EXPECT_EQ(CallerReadsToTheEnd(), kMuch);
  CallerCloses();
  EXPECT_TRUE(testkit::Eventually([&] { return sockets.AllClosed(); }));
}

TEST_P(LingeringSocketsTest, SendTheirBytesToAHalfClosedCaller) {
  LingeringSockets sockets({port_});
  ServerSends(kMuch);
  ServerCloses();
  shutdown(caller_, SHUT_WR);
  EXPECT_FALSE(sockets.AllClosed());
  EXPECT_EQ(CallerReadsToTheEnd(), kMuch);
  CallerCloses();
  EXPECT_TRUE(testkit::Eventually([&] { return sockets.AllClosed(); }));
}

TEST_P(LingeringSocketsTest, IgnoreWhatTheCallerSends) {
  LingeringSockets sockets({port_});
  ServerSends(kMuch);
  ServerCloses();
  // More than the buffers of both sides hold: it is read, and does not hold up the caller.
  const std::string much(1 << 20, 'x');
  fcntl(caller_, F_SETFL, O_NONBLOCK);
  for (int sent = 0; sent < 16; ++sent) {
    ASSERT_TRUE(testkit::Eventually([&] {
      sockets.AllClosed();
      return send(caller_, much.data(), much.size(), MSG_NOSIGNAL) > 0;
    })) << sent;
  }
  EXPECT_FALSE(sockets.AllClosed());
  fcntl(caller_, F_SETFL, 0);
  EXPECT_EQ(CallerReadsToTheEnd(), kMuch);
}

TEST_P(LingeringSocketsTest, AreNotClosedBeforeTheirCallerHasClosed) {
  LingeringSockets sockets({port_});
  ServerSends(kMuch);
  ServerCloses();
  EXPECT_EQ(CallerReadsToTheEnd(), kMuch);
  for (int i = 0; i < 10; ++i) {
    CallerSends("a window update");  // It acknowledges everything, and is answered with no RST.
    EXPECT_FALSE(sockets.AllClosed());
  }
  CallerCloses();
  EXPECT_TRUE(testkit::Eventually([&] { return sockets.AllClosed(); }));
}

TEST_P(LingeringSocketsTest, AreSeenByNoPollerAnyMore) {
  const int poller = epoll_create1(EPOLL_CLOEXEC);
  LingeringSockets sockets({port_});
  epoll_event event = {EPOLLIN | EPOLLET, {}};
  EXPECT_EQ(epoll_ctl(poller, EPOLL_CTL_ADD, server_, &event), 0);
  ServerSends(kMuch);
  ServerCloses();
  CallerSends("a window update");
  EXPECT_EQ(epoll_wait(poller, &event, 1, 0), 0);
  EXPECT_FALSE(sockets.AllClosed());
  close(poller);
}

TEST_P(LingeringSocketsTest, AreNotKeptForACallerThatLeaves) {
  LingeringSockets sockets({port_});
  ServerSends(kMuch);
  ServerCloses();
  EXPECT_FALSE(sockets.AllClosed());
  CallerCloses();
  EXPECT_TRUE(testkit::Eventually([&] { return sockets.AllClosed(); }));
}

TEST_P(LingeringSocketsTest, LingerAsLongAsTheCallerIsSilent) {
  LingeringSockets sockets({port_});
  ServerSends(kMuch);
  ServerCloses();
  for (int i = 0; i < 100; ++i) ASSERT_FALSE(sockets.AllClosed());
}

TEST_P(LingeringSocketsTest, AreNoMoreOfThemThanWanted) {
  LingeringSockets sockets({port_});
  ServerSends(kMuch);
  sockets.KeepFurther(false);
  ServerCloses();
  EXPECT_TRUE(sockets.AllClosed());
}

TEST_P(LingeringSocketsTest, AreToldFromOthers) {
  LingeringSockets sockets({port_});
  ServerSends(kMuch);
  EXPECT_FALSE(sockets.Has(server_));
  const int duplicate = fcntl(server_, F_DUPFD_CLOEXEC, 0);
  close(duplicate);  // The lowest number that is free: the next duplicate has it.
  ServerCloses();
  EXPECT_FALSE(sockets.Has(server_));
  EXPECT_TRUE(sockets.Has(duplicate));
}

TEST_P(LingeringSocketsTest, AreNotThoseOfOtherPorts) {
  LingeringSockets sockets({static_cast<std::uint16_t>(port_ + 1)});
  ServerSends(kMuch);
  ServerCloses();
  EXPECT_TRUE(sockets.AllClosed());
  CallerSends("a window update");
  EXPECT_LT(CallerReadsToTheEnd(), kMuch) << "it takes more than a small buffer to show anything";
}

TEST_P(LingeringSocketsTest, AreNotThoseClosedForSendingOnly) {
  LingeringSockets sockets({port_});
  ServerSends(kMuch);
  shutdown(server_, SHUT_WR);
  EXPECT_TRUE(sockets.AllClosed());
  EXPECT_EQ(CallerReadsToTheEnd(), kMuch);
  close(server_);
}

TEST_P(LingeringSocketsTest, AreNotThoseThatAreCut) {
  LingeringSockets sockets({port_});
  ServerSends(kMuch);
  CutConnection(server_);
  EXPECT_TRUE(sockets.AllClosed());
  EXPECT_EQ(recv(server_, &server_, 1, MSG_DONTWAIT), 0);
  close(server_);
}

TEST_P(LingeringSocketsTest, BelongToTheObjectThatHasTheirPort) {
  LingeringSockets others({});
  LingeringSockets sockets({1, port_});
  ServerSends(kMuch);
  ServerCloses();
  EXPECT_TRUE(others.AllClosed());
  EXPECT_FALSE(sockets.AllClosed());
}

// That the gRPC that is linked closes connections in a way that is seen here.
class OfGrpcTest : public ::testing::TestWithParam<bool> {};

INSTANTIATE_TEST_SUITE_P(Wire, OfGrpcTest, ::testing::Bool(), [](const auto& info) {
  return info.param ? std::string("Tls") : std::string("Plaintext");
});

TEST_P(OfGrpcTest, AnAnswerAfterTheLastGoawayArrivesWhole) {
  ProbeService service;
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort(
      "127.0.0.1:0", GetParam() ? SelfSigned().Server() : grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  LingeringSockets sockets({static_cast<std::uint16_t>(port)});
  {
    GoawaySender sender(*server);
    auto caller =
        std::make_unique<RawPeer>("127.0.0.1:" + std::to_string(port),
                                  RawPeer::Options{.tls = GetParam(), .receive_buffer = 4096});
    // Note{text: 60,000 bytes}
    const std::string note = std::string("\x0a\xe0\xd4\x03", 4) + std::string(60000, 'x');
    const std::uint32_t held = caller->Call("/probe.Probe/Hold", note);
    ASSERT_TRUE(service.AwaitHeld(1));
    sender.Send();
    ASSERT_TRUE(caller->Await(RawPeer::kGoaway).has_value());
    ASSERT_TRUE(caller->Await(RawPeer::kGoaway).has_value());
    service.Release();
    ASSERT_TRUE(testkit::Eventually([&] { return !sockets.AllClosed(); }));
    caller->Ping("12345678");
    EXPECT_TRUE(caller->AwaitAnswer(held));
    caller.reset();
    EXPECT_TRUE(testkit::Eventually([&] { return sockets.AllClosed(); }));
    EXPECT_TRUE(testkit::Eventually([&] { return sender.Idle(); }));
  }
  server->Shutdown(std::chrono::system_clock::now());
}

}  // namespace
}  // namespace rpc
