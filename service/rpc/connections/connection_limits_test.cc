#include "service/rpc/connections/connection_limits.h"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

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
using ::std::chrono::milliseconds;

// A PING with eight bytes of its own, which its answer has, too.
std::string Ping(const std::string& bytes) {
  constexpr char kPing = 6;
  return Http2Frame(kPing, 0, 0, bytes);
}

class ConnectionLimitsTest : public ::testing::Test {
 protected:
  void Start(const ConnectionLimits& limits) { Start(limits, probe_); }
  void Start(const ConnectionLimits& limits, grpc::Service& service) {
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    limits.ApplyTo(builder);
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    address_ = "127.0.0.1:" + std::to_string(port);
  }

  void TearDown() override {
    probe_.Release();
    if (server_ != nullptr) server_->Shutdown(std::chrono::system_clock::now());
  }

  grpc::StatusCode EchoOf(std::size_t size) const {
    Note note;
    note.set_text(std::string(size, 'x'));
    return Probe::NewStub(NewConnection(address_))->Echo(Bounded().get(), note, &note).error_code();
  }

  ProbeService probe_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST_F(ConnectionLimitsTest, RefuseALargerRequest) {
  Start({.max_receive_message_size = 1000});
  EXPECT_EQ(EchoOf(900), grpc::OK);
  EXPECT_EQ(EchoOf(1100), grpc::RESOURCE_EXHAUSTED);
}

TEST_F(ConnectionLimitsTest, RefuseALargerResponse) {
  Start({.max_send_message_size = 1000});
  EXPECT_EQ(EchoOf(900), grpc::OK);
  EXPECT_EQ(EchoOf(1100), grpc::RESOURCE_EXHAUSTED);
}

TEST_F(ConnectionLimitsTest, LetMoreCallsWaitAtTheirCaller) {
  Start({.max_concurrent_streams = 1});
  const auto stub = Probe::NewStub(NewConnection(address_));
  const auto echo = [&stub](milliseconds limit) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + limit);
    Note note;
    return stub->Echo(&context, note, &note).error_code();
  };
  std::future<grpc::Status> held = std::async(std::launch::async, [&] {
    Note note;
    return stub->Hold(Bounded().get(), note, &note);
  });
  ASSERT_TRUE(probe_.AwaitHeld(1));
  EXPECT_EQ(echo(milliseconds(200)), grpc::DEADLINE_EXCEEDED);
  probe_.Release();
  EXPECT_TRUE(held.get().ok());
  EXPECT_EQ(echo(std::chrono::seconds(45)), grpc::OK);
}

// Each call takes a thread until it is released.
class SyncProbe final : public Probe::Service {
 public:
  grpc::Status Echo(grpc::ServerContext*, const Note*, Note*) override {
    ++running;
    released_.wait();
    return grpc::Status::OK;
  }
  void Release() { release_.set_value(); }

  std::atomic<int> running{0};

 private:
  std::promise<void> release_;
  const std::shared_future<void> released_ = release_.get_future().share();
};

TEST_F(ConnectionLimitsTest, BoundTheThreadsOfTheSyncApi) {
  constexpr int kThreads = 4;
  constexpr int kCallers = 12;
  SyncProbe sync;
  Start({.max_sync_threads = kThreads}, sync);
  std::atomic<int> answered{0}, refused{0};
  std::vector<std::jthread> callers;
  for (int i = 0; i < kCallers; ++i) {
    callers.emplace_back([&] {
      const grpc::StatusCode code = EchoOf(1);
      answered += code == grpc::OK;
      refused += code == grpc::RESOURCE_EXHAUSTED;
    });
  }
  EXPECT_TRUE(testkit::Eventually([&] { return sync.running + refused == kCallers; }));
  EXPECT_GT(sync.running, 0);
  EXPECT_LE(sync.running, kThreads);
  sync.Release();
  callers.clear();
  EXPECT_EQ(answered + refused, kCallers);
  EXPECT_EQ(EchoOf(1), grpc::OK);
  server_->Shutdown(std::chrono::system_clock::now());
  server_ = nullptr;
}

TEST_F(ConnectionLimitsTest, CloseAConnectionWithoutCalls) {
  Start({.max_connection_idle = milliseconds(50)});
  RawConnection caller(address_);
  caller.Send(Http2Preface());
  EXPECT_TRUE(caller.AwaitEnd());
}

TEST_F(ConnectionLimitsTest, DisconnectAPeerThatNeverSpeaks) {
  Start({.handshake_timeout = milliseconds(200)});
  RawConnection mute(address_);
  RawConnection halfway(address_);
  halfway.Send(Http2Preface().substr(0, 10));
  EXPECT_TRUE(mute.AwaitEnd());
  EXPECT_TRUE(halfway.AwaitEnd());
}

TEST_F(ConnectionLimitsTest, DisconnectASilentPeer) {
  Start({.max_connection_idle = milliseconds(0),
         .keepalive_time = milliseconds(50),
         .keepalive_timeout = milliseconds(50)});
  RawConnection caller(address_);
  caller.Send(Http2Preface());  // And no answer to any PING.
  EXPECT_TRUE(caller.AwaitEnd());
}

TEST_F(ConnectionLimitsTest, DisconnectACallerThatPingsTooOften) {
  Start({.min_ping_interval_without_data = std::chrono::minutes(1)});
  RawConnection caller(address_);
  caller.Send(Http2Preface());
  for (int i = 0; i < 4; ++i) caller.Send(Ping("too soon"));
  // The end of a GOAWAY: ENHANCE_YOUR_CALM, and why.
  EXPECT_TRUE(caller.ReceiveUntil(std::string("\0\0\0\x0b", 4) + "too_many_pings"));
  EXPECT_TRUE(caller.AwaitEnd());
}

TEST_F(ConnectionLimitsTest, LetACallerPingAsAllowed) {
  Start({.min_ping_interval_without_data = milliseconds(0)});
  RawConnection caller(address_);
  caller.Send(Http2Preface());
  for (int i = 0; i < 100; ++i) caller.Send(Ping("not soon"));
  caller.Send(Ping("the last"));
  EXPECT_TRUE(caller.ReceiveUntil("the last"));
}

TEST_F(ConnectionLimitsTest, AreNoneWhereTheyAreZero) {
  Start({.max_connection_age = milliseconds(0),
         .max_connection_idle = milliseconds(0),
         .keepalive_time = milliseconds(0),
         .max_concurrent_streams = 0,
         .memory_quota_bytes = 0,
         .max_sync_threads = 0,
         .max_receive_message_size = 0,
         .max_send_message_size = 0});
  const auto channel = NewConnection(address_);
  Note note;
  note.set_text("more than nothing");
  EXPECT_TRUE(Probe::NewStub(channel)->Echo(Bounded().get(), note, &note).ok());
  EXPECT_EQ(channel->GetState(false), GRPC_CHANNEL_READY);
}

}  // namespace
}  // namespace rpc
