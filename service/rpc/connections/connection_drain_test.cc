#include "service/rpc/connections/connection_drain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/rpc/calls/call_tracker.h"
#include "service/rpc/channelz/connections.h"
#include "service/rpc/connections/connection_guard.h"
#include "service/rpc/connections/listener.h"
#include "service/rpc/testing/probe.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/raw_peer.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace rpc {
namespace {

using State = ConnectionDrain::State;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testkit::Eventually;

class ConnectionDrainTest : public ::testing::Test {
 protected:
  explicit ConnectionDrainTest(const std::vector<std::string>& addresses) {
    grpc::ServerBuilder builder;
    acceptor_ = builder.experimental().AddExternalConnectionAcceptor(
        grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD,
        grpc::InsecureServerCredentials());
    builder.RegisterService(&probe_);
    calls_.Install(builder);
    server_ = Connections::BuildAndStart(builder, connections_);
    for (const std::string& address : addresses) {
      listeners_.push_back(*Listener::Bind(address));
      EXPECT_TRUE(listeners_.back()->Listen().ok());
      listeners_.back()->Start([this](int listener_fd, int fd) {
        grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters connection;
        connection.listener_fd = listener_fd;
        connection.fd = fd;
        acceptor_->HandleNewConnection(&connection);
      });
    }
    Judge(clock_);
  }

  // By that clock, which must be the kernel's where what it says of TCP matters.
  void Judge(lifecycle::Clock& clock) {
    drain_ = std::make_unique<ConnectionDrain>(*server_, listeners_, connections_, calls_, clock,
                                               seconds(1), [this] { return Records(); });
  }

  ~ConnectionDrainTest() override {
    for (const auto& listener : listeners_) listener->Close();
    probe_.Release();
    EXPECT_TRUE(Eventually([this] { return drain_->Idle(); }));
    drain_->LetGo();
    server_->Shutdown(std::chrono::system_clock::now());
    drain_.reset();
  }

  // From here on whatever waits to be sent to a connection has been written.
  void Begin() {
    drain_->Begin();
    ASSERT_TRUE(Eventually([this] { return drain_->Idle(); }));
  }

  bool NoCallRuns() const {
    const auto unfinished = drain_->Unfinished();
    return unfinished.calls == 0 && unfinished.requests == 0;
  }

  std::vector<ConnectionGuard::Connection> Records() {
    ++asked_;
    if (while_held_up_ && ReadingIsHeldUp()) std::exchange(while_held_up_, nullptr)();
    if (without_records_) return {};
    return ConnectionGuard::Records(connections_.server_id());
  }

  bool ReadingIsHeldUp() const {
    bool held_up = false;
    listeners_.front()->ForEachConnection([&](int fd) {
      int least = 0;
      socklen_t size = sizeof least;
      getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &least, &size);
      held_up = held_up || least > 1;
    });
    return held_up;
  }

  // Looks as often as a shutdown must, or the process counts as having been stopped; then once more.
  State LookFor(std::chrono::seconds time) {
    for (auto left = lifecycle::Clock::Duration(time); left.count() > 0; left -= kStep) {
      drain_->Look();
      clock_.Advance(kStep);
    }
    return drain_->Look();
  }

  static constexpr milliseconds kStep{250};

  int asked_ = 0;  // For all of gRPC's records.
  std::function<void()> while_held_up_;
  bool without_records_ = false;  // As of connections that gRPC does not know yet, or any more.
  lifecycle::FakeClock clock_;
  ProbeService probe_;
  CallTracker calls_;
  Connections connections_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;
  ConnectionDrain::Listeners listeners_;
  std::unique_ptr<ConnectionDrain> drain_;
};

struct SocketFile {
  const testkit::TempDir directory{"/tmp"};  // Short enough for a socket's name.
  const std::string address_ = "unix:" + directory.File("socket");
};

// Connections of a socket file, of which the kernel does not say when their last byte came: all time
// is the clock's.
class ConnectionDrainOfASocketFile : private SocketFile, public ConnectionDrainTest {
 protected:
  ConnectionDrainOfASocketFile() : ConnectionDrainTest({address_}) {}
  using SocketFile::address_;
};

class ConnectionDrainOfBoth : private SocketFile, public ConnectionDrainTest {
 protected:
  ConnectionDrainOfBoth() : ConnectionDrainTest({"127.0.0.1:0", address_}) {}
  using SocketFile::address_;
};

// Sends SETTINGS, each of which is acknowledged with nine bytes, and reads nothing.
void Flood(RawPeer& peer) {
  std::string settings;
  for (int i = 0; i < 5000; ++i) settings += std::string("\0\0\0\4\0\0\0\0\0", 9);
  peer.SendBytes(settings);
}

// Those of TCP, whose times are the kernel's: what depends on these is in
// service/rpc/server_host_test.cc.
class ConnectionDrainOfTcp : public ConnectionDrainTest {
 protected:
  ConnectionDrainOfTcp() : ConnectionDrainTest({"127.0.0.1:0"}) {}

  std::string address() const { return listeners_.front()->address(); }

  // What the kernel holds for peers that do not read.
  int UnreadBytes() const {
    int sum = 0;
    listeners_.front()->ForEachConnection([&sum](int fd) {
      int bytes = 0;
      if (ioctl(fd, SIOCOUTQ, &bytes) == 0) sum += bytes;
    });
    return sum;
  }

  // What has arrived, and gRPC has not read.
  int ArrivedBytes() const {
    int sum = 0;
    listeners_.front()->ForEachConnection([&sum](int fd) {
      int bytes = 0;
      if (ioctl(fd, SIOCINQ, &bytes) == 0) sum += bytes;
    });
    return sum;
  }

  // One that has called, and then reads nothing until it calls again.
  void BeginWithASilentPeer(RawPeer& peer) {
    Judge(lifecycle::Clock::Steady());
    peer.HoldPings();
    ASSERT_TRUE(peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", "")));
    Begin();
    ASSERT_TRUE(Eventually([this] { return drain_->Look() == State::kSilent; }));
  }

  // Both flood; one of them has called before.
  void FloodAfterACall(RawPeer& has_called, RawPeer& never_called) {
    ASSERT_TRUE(has_called.AwaitAnswer(has_called.Call("/probe.Probe/Echo", "")));
    Flood(has_called);
    Flood(never_called);
    ASSERT_TRUE(Eventually([this] { return UnreadBytes() > 6 * kMuch; }));
    ASSERT_TRUE(Eventually([this] { return NoCallRuns(); }));
  }

  static constexpr int kMuch = 10000;
};

TEST_F(ConnectionDrainOfTcp, OwesNothingToAPeerThatNeverCalled) {
  RawPeer floods(address(), {.receive_buffer = 4096});
  Flood(floods);
  ASSERT_TRUE(Eventually([this] { return UnreadBytes() > kMuch; }));
  Begin();
  EXPECT_FALSE(drain_->Unfinished().any());
}

TEST_F(ConnectionDrainOfTcp, MayOweAnAnswerToAPeerThatCalled) {
  RawPeer floods(address(), {.receive_buffer = 4096});
  RawPeer never_called(address(), {.receive_buffer = 4096});
  ASSERT_NO_FATAL_FAILURE(FloodAfterACall(floods, never_called));
  Begin();
  EXPECT_EQ(drain_->Unfinished().answers, 1);
}

// What it has not read is of the handshake.
TEST_F(ConnectionDrainOfTcp, OwesNothingToAPeerThatGrpcHasNeverKnown) {
  RawPeer floods(address(), {.receive_buffer = 4096});
  Flood(floods);
  ASSERT_TRUE(Eventually([this] { return UnreadBytes() > kMuch; }));
  without_records_ = true;
  Begin();
  drain_->Look();
  EXPECT_FALSE(drain_->Unfinished().any());
}

TEST_F(ConnectionDrainOfTcp, MayOweAnAnswerToAPeerThatGrpcNoLongerKnows) {
  RawPeer floods(address(), {.receive_buffer = 4096});
  Flood(floods);
  ASSERT_TRUE(Eventually([this] { return UnreadBytes() > kMuch; }));
  Begin();
  without_records_ = true;
  EXPECT_EQ(drain_->Unfinished().answers, 1);
}

// Its handshake ends during the drain, and it leaves at the next GOAWAY.
TEST_F(ConnectionDrainOfTcp, KnowsThePeersOfEachGoawayAlthoughCallsRun) {
  RawPeer floods(address(), {.receive_buffer = 4096});
  Flood(floods);
  ASSERT_TRUE(Eventually([this] { return UnreadBytes() > kMuch; }));
  RawPeer calls(address());
  calls.Call("/probe.Probe/Hold", "");
  ASSERT_TRUE(probe_.AwaitHeld(1));
  without_records_ = true;
  Begin();
  without_records_ = false;
  clock_.Advance(kStep);
  EXPECT_EQ(drain_->Look(), State::kBusy);
  without_records_ = true;
  EXPECT_EQ(drain_->Unfinished().answers, 1);
}

// That takes time with each connection, and between two looks ten times as much goes by.
TEST_F(ConnectionDrainOfTcp, AsksForAllRecordsOnceALook) {
  RawPeer floods(address(), {.receive_buffer = 4096});
  RawPeer never_called(address(), {.receive_buffer = 4096});
  ASSERT_NO_FATAL_FAILURE(FloodAfterACall(floods, never_called));
  Begin();
  asked_ = 0;
  for (int look = 1; look <= 3; ++look) {
    drain_->Look();
    EXPECT_EQ(asked_, look);
    clock_.Advance(kStep);
  }
  EXPECT_EQ(drain_->Unfinished().answers, 1);
  EXPECT_EQ(asked_, 4);
}

// Of a call that the server has not read it says so, and the client sends it elsewhere by itself.
TEST_F(ConnectionDrainOfTcp, ClosesThoseThatAreSilent) {
  RawPeer peer(address());
  ASSERT_NO_FATAL_FAILURE(BeginWithASilentPeer(peer));
  EXPECT_TRUE(drain_->CloseSilent());
  ASSERT_EQ(peer.Await(RawPeer::kGoaway).value().last_stream(), RawPeer::kMaxStream);
  EXPECT_EQ(peer.Await(RawPeer::kGoaway).value().last_stream(), 1u);
  EXPECT_TRUE(peer.AwaitEnd());
  EXPECT_TRUE(Eventually([this] { return drain_->Look() == State::kGone; }));
}

TEST_F(ConnectionDrainOfTcp, ReadsOnIfOneOfThemCallsAtThatMoment) {
  RawPeer peer(address());
  ASSERT_NO_FATAL_FAILURE(BeginWithASilentPeer(peer));
  std::uint32_t crosses = 0;
  while_held_up_ = [&] {
    crosses = peer.Call("/probe.Probe/Echo", "");
    EXPECT_TRUE(Eventually([this] { return ArrivedBytes() > 0; }));
    EXPECT_FALSE(Eventually([this] { return ArrivedBytes() == 0; }, milliseconds(100)));
  };
  EXPECT_FALSE(drain_->CloseSilent());
  EXPECT_TRUE(peer.AwaitAnswer(crosses));
  EXPECT_TRUE(Eventually([this] { return drain_->Look() == State::kSilent; }));
  EXPECT_TRUE(drain_->CloseSilent());
  EXPECT_TRUE(peer.AwaitEnd());
}

TEST_F(ConnectionDrainOfTcp, ClosesNoneIfThatCutsARequest) {
  RawPeer peer(address());
  ASSERT_NO_FATAL_FAILURE(BeginWithASilentPeer(peer));
  const std::uint32_t stalled = peer.Open("/probe.Probe/Echo");
  ASSERT_TRUE(Eventually([this] { return drain_->Unfinished().requests == 1; }));
  EXPECT_FALSE(drain_->CloseSilent());
  ASSERT_TRUE(Eventually([this] { return drain_->Look() == State::kSilent; })) << "it is given up";
  EXPECT_TRUE(drain_->CloseSilent());
  peer.SendMessage(stalled, "");
  EXPECT_TRUE(peer.AwaitAnswer(stalled));
}

// Nor at any other time.
TEST_F(ConnectionDrainOfTcp, ClosesNoneBeforeTheyAreSilent) {
  RawPeer peer(address());
  ASSERT_TRUE(peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", "")));
  Begin();
  ASSERT_EQ(drain_->Look(), State::kBusy);
  EXPECT_TRUE(drain_->CloseSilent());
  EXPECT_TRUE(peer.AwaitAnswer(peer.Call("/probe.Probe/Echo", "")));
}

// gRPC has closed it, and who has it still talks.
TEST_F(ConnectionDrainOfTcp, IsNotHeldUpByAConnectionThatHasLeft) {
  RawPeer leaves(address(), {.receive_buffer = 4096});
  probe::Note much;
  much.set_text(std::string(60000, 'x'));
  const std::uint32_t held = leaves.Call("/probe.Probe/Hold", much.SerializeAsString());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  RawPeer stays(address());
  stays.HoldPings();
  ASSERT_TRUE(stays.AwaitAnswer(stays.Call("/probe.Probe/Echo", "")));
  Judge(lifecycle::Clock::Steady());
  Begin();
  ASSERT_TRUE(leaves.Await(RawPeer::kGoaway).has_value());
  ASSERT_TRUE(leaves.Await(RawPeer::kGoaway).has_value());
  probe_.Release();
  ASSERT_TRUE(Eventually([this] { return connections_.Count() == 1; }));
  EXPECT_TRUE(leaves.AwaitAnswer(held));
  const auto it_talks_and_is = [&](State state) {
    leaves.Ping("12345678");
    return drain_->Look() == state;
  };
  EXPECT_TRUE(Eventually([&] { return it_talks_and_is(State::kSilent); }, seconds(3)));
  EXPECT_TRUE(drain_->CloseSilent());
  EXPECT_TRUE(stays.AwaitEnd());
}

TEST_F(ConnectionDrainOfASocketFile, WaitsForNoneThatIsSilent) {
  RawPeer deaf(address_);
  ASSERT_TRUE(deaf.Await(RawPeer::kSettings).has_value()) << "it is connected";
  Begin();
  EXPECT_EQ(LookFor(seconds(2)), State::kSilent);
  EXPECT_FALSE(drain_->Unfinished().any()) << "it misses no GOAWAY and no PING";
}

TEST_F(ConnectionDrainOfASocketFile, WaitsForAnAnswerThatIsNotRead) {
  RawPeer deaf(address_);
  probe::Note much;
  much.set_text(std::string(12000, 'x'));
  deaf.Call("/probe.Probe/Hold", much.SerializeAsString());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  Begin();
  probe_.Release();
  ASSERT_TRUE(Eventually([this] { return NoCallRuns() && drain_->Unfinished().answers == 1; }));
  EXPECT_EQ(LookFor(seconds(2)), State::kBusy);
  EXPECT_EQ(LookFor(seconds(6)), State::kSilent) << "it has been given up";
  EXPECT_EQ(drain_->Unfinished().answers, 1);
}

TEST_F(ConnectionDrainOfASocketFile, WaitsForARequestHoweverSlowlyItArrives) {
  RawPeer slow(address_);
  const std::uint32_t stream = slow.Open("/probe.Probe/Echo");
  slow.Ping("12345678");
  ASSERT_TRUE(slow.Await(RawPeer::kPing).has_value()) << "what was sent before has arrived";
  Begin();
  // Of one message of 35 bytes, of which it has said nothing yet.
  slow.SendBytes(std::string("\0\0\x28\0\x01\0\0\0", 8) + static_cast<char>(stream));
  EXPECT_EQ(LookFor(seconds(8)), State::kBusy);
  slow.SendBytes(std::string("\0\0\0\0\x23", 5));
  EXPECT_EQ(LookFor(seconds(8)), State::kBusy);
  EXPECT_EQ(drain_->Unfinished().requests, 1);
  slow.SendBytes(std::string("\x0a\x21") + std::string(33, 'x'));
  EXPECT_TRUE(slow.AwaitAnswer(stream));
  EXPECT_TRUE(Eventually([this] { return NoCallRuns(); }));
  EXPECT_NE(LookFor(seconds(2)), State::kBusy);
  EXPECT_FALSE(drain_->Unfinished().any());
}

TEST_F(ConnectionDrainOfBoth, ClosesNoneWhereReadingCannotBeHeldUp) {
  RawPeer of_file(address_);
  of_file.HoldPings();
  ASSERT_TRUE(of_file.AwaitAnswer(of_file.Call("/probe.Probe/Echo", "")));
  Judge(lifecycle::Clock::Steady());
  Begin();
  ASSERT_TRUE(Eventually([this] { return drain_->Look() == State::kSilent; }));
  EXPECT_TRUE(drain_->CloseSilent());
  EXPECT_TRUE(of_file.AwaitAnswer(of_file.Call("/probe.Probe/Echo", "")));
}

TEST_F(ConnectionDrainOfBoth, GivesUpARequestOfTcpAlthoughASocketFileHasAnIdlePeer) {
  Judge(lifecycle::Clock::Steady());
  std::optional<RawPeer> stalled(listeners_.front()->address());
  stalled->Open("/probe.Probe/Echo");
  stalled->Ping("12345678");
  ASSERT_TRUE(stalled->Await(RawPeer::kPing).has_value()) << "what was sent before has arrived";
  RawPeer idle(address_);
  ASSERT_TRUE(idle.Await(RawPeer::kSettings).has_value()) << "it is connected";
  Begin();
  // gRPC itself ends a connection that leaves a GOAWAY's PING unanswered for 20 s.
  EXPECT_TRUE(Eventually([this] { return drain_->Look() == State::kSilent; }, seconds(15)));
  EXPECT_EQ(drain_->Unfinished().requests, 1);
  drain_->RefusesCalls();
  const auto later = lifecycle::Clock::Steady().Now() + milliseconds(300);
  EXPECT_TRUE(Eventually([&] {
    drain_->Look();
    return lifecycle::Clock::Steady().Now() > later;
  }));
  stalled.reset();
  EXPECT_TRUE(Eventually([this] { return !drain_->Unfinished().any(); })) << "nothing was cut";
}

}  // namespace
}  // namespace rpc
