#include "service/rpc/connections/connection_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <atomic>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/channelz/connections.h"
#include "service/rpc/connections/inherited_sockets.h"
#include "service/rpc/connections/listener.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/raw_peer.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace rpc {
namespace {

using ::probe::Note;
using ::probe::Probe;
using ::testing::AllOf;
using ::testing::HasSubstr;

using ConnectionType = grpc::ServerBuilder::experimental_type::ExternalConnectionType;

class ConnectionGuardTest : public ::testing::Test {
 protected:
  void Start(ConnectionGuard::Limits limits, const std::string& address = "127.0.0.1:0",
             InheritedSockets* inherited = nullptr) {
    grpc::ServerBuilder builder;
    builder.RegisterService(&probe_);
    // Without a limit of gRPC's own: newer gRPC enforces it, acknowledged or not.
    builder.AddChannelArgument(GRPC_ARG_MAX_CONCURRENT_STREAMS, std::numeric_limits<int>::max());
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        ConnectionType::FROM_FD, grpc::InsecureServerCredentials());
    server_ = Connections::BuildAndStart(builder, connections_);
    listener_ = *Listener::Bind(address, inherited);
    EXPECT_TRUE(listener_->Listen().ok());
    listener_->Start([this](int listener_fd, int fd) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
      connection.listener_fd = listener_fd;
      connection.fd = fd;
      acceptor_->HandleNewConnection(&connection);
    });
    guard_.emplace(
        connections_.server_id(), limits,
        [this](const std::string& peer) {
          listener_->ResetConnections(
              [&peer](int fd) { return ConnectionGuard::PeerOf(fd) == peer; });
        },
        [this](const std::string& line) {
          std::lock_guard lock(mutex_);
          lines_.push_back(line);
        },
        [this] { ++ticks_; });
  }

  void TearDown() override {
    probe_.Release();
    guard_.reset();
    listener_->Close();
    server_->Shutdown(std::chrono::system_clock::now());
    listener_->CutConnections();
  }

  std::vector<std::string> lines() {
    std::lock_guard lock(mutex_);
    return lines_;
  }

  // The first line that is logged.
  std::string AwaitLine() {
    return testkit::Eventually([this] { return !lines().empty(); }) ? lines()[0] : "";
  }

  // A call on a connection that behaves.
  bool IsServed(const std::string& address) {
    if (behaves_ == nullptr) behaves_ = NewConnection(address);
    Note note;
    return Probe::NewStub(behaves_)->Echo(Bounded().get(), note, &note).ok();
  }
  bool IsServed() { return IsServed(listener_->address()); }

  // Opens streams until the connection has ended, many more than are allowed.
  static void OpenManyOn(RawPeer& peer) {
    for (int i = 0; i < 30000 && peer.open(); ++i) peer.Open("/probe.Probe/Hold");
  }

  static void ResetManyOn(RawPeer& peer) {
    for (int i = 0; i < 50000 && peer.open(); ++i) peer.Reset(peer.Open("/probe.Probe/Hold"));
  }

  static void ResetOneByOneOn(RawPeer& peer) {
    for (int i = 0; i < 20000 && peer.open(); ++i) {
      peer.Reset(peer.Open("/probe.Probe/Hold"));
      // gRPC has got so far.
      if (i % 50 == 0) peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", ""));
    }
  }

  std::atomic<int> ticks_{0};
  ProbeService probe_;
  Connections connections_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Listener> listener_;
  std::optional<ConnectionGuard> guard_;
  std::shared_ptr<grpc::Channel> behaves_;
  std::mutex mutex_;
  std::vector<std::string> lines_;  // Guarded by mutex_.
};

TEST_F(ConnectionGuardTest, EndsAPeerThatOpensTooManyStreams) {
  Start({.streams = 100});
  ASSERT_TRUE(IsServed());
  RawPeer peer(listener_->address(), {.acknowledge_settings = false});
  OpenManyOn(peer);
  EXPECT_TRUE(peer.AwaitEnd());
  EXPECT_TRUE(IsServed());
  EXPECT_EQ(behaves_->GetState(false), GRPC_CHANNEL_READY);
  ASSERT_TRUE(testkit::Eventually([&] { return guard_->ended() == 1; }));
  EXPECT_THAT(AwaitLine(), HasSubstr("too many open streams"));
}

TEST_F(ConnectionGuardTest, EndsAPeerThatResetsItsStreams) {
  Start({.streams = 1000, .resets = 500});
  ASSERT_TRUE(IsServed());
  RawPeer peer(listener_->address());
  ResetManyOn(peer);
  EXPECT_TRUE(peer.AwaitEnd());
  EXPECT_TRUE(IsServed());
  ASSERT_TRUE(testkit::Eventually([&] { return guard_->ended() == 1; }));
  EXPECT_THAT(AwaitLine(), HasSubstr("too many"));
}

TEST_F(ConnectionGuardTest, EndsAPeerResettingStreamsOneByOne) {
  Start({.resets = 500});
  RawPeer peer(listener_->address());
  ResetOneByOneOn(peer);
  EXPECT_FALSE(peer.open());
  ASSERT_TRUE(testkit::Eventually([&] { return guard_->ended() == 1; }));
  EXPECT_THAT(AwaitLine(), HasSubstr("too many resets"));
}

TEST_F(ConnectionGuardTest, EndsTheLargestWhenTheTotalIsExceeded) {
  Start({.total_streams = 1000});
  RawPeer small(listener_->address(), {.acknowledge_settings = false});
  RawPeer large(listener_->address(), {.acknowledge_settings = false});
  for (int i = 0; i < 300; ++i) small.Open("/probe.Probe/Hold");
  for (int i = 0; i < 900; ++i) large.Open("/probe.Probe/Hold");
  EXPECT_TRUE(large.AwaitEnd());
  small.Ping("are you?");
  EXPECT_TRUE(small.Await(RawPeer::kPing));
  EXPECT_THAT(AwaitLine(), HasSubstr("in total"));
}

TEST_F(ConnectionGuardTest, EndsAsManyAsExceedTheTotal) {
  Start({.total_streams = 1000});
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 10; ++i) peers.push_back(std::make_unique<RawPeer>(listener_->address()));
  for (const auto& peer : peers) {
    for (int i = 0; i < 300; ++i) peer->Open("/probe.Probe/Hold");
  }
  // Nothing more happens, and yet it looks on.
  EXPECT_TRUE(testkit::Eventually([&] { return guard_->ended() == 7; })) << guard_->ended();
  EXPECT_TRUE(IsServed());
}

TEST_F(ConnectionGuardTest, TicksThoughNobodyCalls) {
  Start({});
  EXPECT_TRUE(testkit::Eventually([this] { return ticks_ >= 2; }));
}

TEST_F(ConnectionGuardTest, MayHaveAnEndlessLimit) {
  Start({.streams = std::numeric_limits<int>::max(), .total_streams = 1000});
  RawPeer peer(listener_->address());
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", "")));
  // It has looked when this one has ended.
  RawPeer large(listener_->address());
  for (int i = 0; i < 1100; ++i) large.Open("/probe.Probe/Hold");
  EXPECT_TRUE(large.AwaitEnd());
  EXPECT_TRUE(testkit::Eventually([&] { return guard_->ended() > 0; }));
  EXPECT_TRUE(peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", "")));
  EXPECT_EQ(guard_->ended(), 1);
}

TEST_F(ConnectionGuardTest, LeavesPeersWithinTheLimitsAlone) {
  // A stream that was reset counts until gRPC has freed its call, which may take a while.
  Start({.streams = 200, .resets = 500, .total_streams = 1000});
  RawPeer peer(listener_->address());
  for (int i = 0; i < 90; ++i) peer.Open("/probe.Probe/Hold");
  // Fewer than half of what it opens.
  for (int i = 0; i < 300; ++i) {
    peer.Reset(peer.Open("/probe.Probe/Hold"));
    ASSERT_TRUE(peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", "")));
    ASSERT_TRUE(peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", "")));
  }
  EXPECT_EQ(guard_->ended(), 0);
  EXPECT_TRUE(lines().empty());
}

TEST_F(ConnectionGuardTest, EndsAPeerThatResetsMoreThanWasExcused) {
  Start({.resets = 500});
  RawPeer peer(listener_->address());
  ASSERT_TRUE(peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", "")));
  std::string uri;
  listener_->ForEachConnection([&uri](int fd) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size);
    uri = "ipv4:127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  });
  for (int i = 0; i < 1000; ++i) guard_->Excuse(uri);
  ResetOneByOneOn(peer);
  EXPECT_FALSE(peer.open());
  EXPECT_TRUE(testkit::Eventually([&] { return guard_->ended() == 1; }));
}

TEST(ConnectionGuardPeerTest, IsReadAsGrpcWritesIt) {
  const std::string port = "\x01\x02";
  const std::string v4 = std::string("\x7f\0\0\x01", 4) + port;
  EXPECT_EQ(ConnectionGuard::PeerOf("ipv4:127.0.0.1:258"), v4);
  EXPECT_EQ(ConnectionGuard::PeerOf("ipv6:%5B::ffff:127.0.0.1%5D:258"), v4);
  const std::string v6 = std::string("\xfe\x80") + std::string(13, '\0') + "\x01" + port;
  for (const char* const each : {"ipv6:[fe80::1]:258", "ipv6:%5Bfe80::1%5D:258",
                                 "ipv6:%5Bfe80::1%25eth0%5D:258", "ipv6:[fe80::1%2]:258"}) {
    EXPECT_EQ(ConnectionGuard::PeerOf(each), v6) << each;
  }
  for (const char* const none : {"", "unknown", "ipv4:127.0.0.1", "ipv4:127.0.0.1:", "ipv4::258",
                                 "ipv4:127.0.0.1:70000", "unix:/run/a.sock", "fd:258"}) {
    EXPECT_EQ(ConnectionGuard::PeerOf(none), "") << none;
  }
}

TEST_F(ConnectionGuardTest, EndsPeersByIPv6Too) {
  if (const absl::Status none = Listener::Bind("[::]:0").status(); !none.ok()) {
    EXPECT_TRUE(absl::IsInvalidArgument(none)) << "a machine without IPv6 has no such address";
    return;
  }
  Start({.streams = 100}, "[::]:0");
  const std::string port = listener_->address().substr(listener_->address().rfind(':'));
  ASSERT_TRUE(IsServed("127.0.0.1" + port));
  RawPeer peer("127.0.0.1" + port, {.acknowledge_settings = false});
  OpenManyOn(peer);
  EXPECT_TRUE(peer.AwaitEnd());
  EXPECT_TRUE(IsServed("127.0.0.1" + port));
}

// A server with a port, and with a socket file, whose peers cannot be ended.
class ConnectionGuardOfASocketFile : public ConnectionGuardTest {
 protected:
  void StartOnBoth(ConnectionGuard::Limits limits) {
    InheritedSockets both;
    for (const std::string& address : {std::string("127.0.0.1:0"), "unix:" + path_}) {
      const auto bound = *Listener::Bind(address);
      ASSERT_TRUE(bound->Listen().ok());
      for (const int fd : bound->Duplicate()) both.Add(fd, {"fd:both"});
      bound->LeaveToSuccessor();
    }
    Start(limits, "fd:both", &both);
  }

  // Opens that many streams, and waits until gRPC has them.
  static void Open(RawPeer& peer, int streams) {
    for (int i = 0; i < streams; ++i) peer.Open("/probe.Probe/Hold");
    EXPECT_TRUE(Answers(peer));
  }

  static bool Answers(RawPeer& peer) {
    peer.Ping("are you?");
    return peer.Await(RawPeer::kPing).has_value();
  }

  const testkit::TempDir directory_{"/tmp"};  // Short enough for a socket's name.
  const std::string path_ = directory_.File("socket");
};

TEST_F(ConnectionGuardOfASocketFile, CountsNoneThatItCannotEnd) {
  StartOnBoth({.streams = 100});
  RawPeer local("unix:" + path_);
  Open(local, 500);
  EXPECT_THAT(AwaitLine(), AllOf(HasSubstr("cannot end a connection: 1 time"),
                                 HasSubstr("too many open streams"), HasSubstr("socket file")));
  EXPECT_EQ(guard_->ended(), 0);
  EXPECT_TRUE(Answers(local));
}

TEST_F(ConnectionGuardOfASocketFile, CountsTheStreamsOfItInTheTotal) {
  StartOnBoth({.total_streams = 1000});
  RawPeer local("unix:" + path_);
  Open(local, 900);
  RawPeer small(listener_->address());
  Open(small, 10);
  for (int ended = 1; ended <= 2; ++ended) {
    RawPeer large(listener_->address());
    for (int i = 0; i < 300; ++i) large.Open("/probe.Probe/Hold");
    ASSERT_TRUE(large.AwaitEnd());
    EXPECT_TRUE(testkit::Eventually([&] { return guard_->ended() == ended; })) << guard_->ended();
  }
  EXPECT_TRUE(Answers(small));
  EXPECT_TRUE(Answers(local));
}

TEST_F(ConnectionGuardOfASocketFile, EndsNobodyInItsPlaceInVain) {
  StartOnBoth({.streams = 200, .total_streams = 1000});
  RawPeer local("unix:" + path_);
  Open(local, 1200);
  RawPeer small(listener_->address());
  Open(small, 150);
  // It has looked when this one has ended.
  RawPeer large(listener_->address(), {.acknowledge_settings = false});
  OpenManyOn(large);
  EXPECT_TRUE(large.AwaitEnd());
  EXPECT_TRUE(testkit::Eventually([&] { return guard_->ended() > 0; }));
  EXPECT_TRUE(Answers(small));
  EXPECT_EQ(guard_->ended(), 1);
}

}  // namespace
}  // namespace rpc
