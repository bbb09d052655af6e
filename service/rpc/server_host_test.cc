#include "service/rpc/server_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "grpcpp/ext/channelz_service_plugin.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/server_context.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/connections/inherited_sockets.h"
#include "service/rpc/connections/listener.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/status.h"
#include "service/rpc/testing/blocker.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/grpc_version.h"
#include "service/rpc/testing/host_under_test.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/raw_peer.h"
#include "service/rpc/testing/status_details.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using ::lifecycle::Clock;
using ::lifecycle::Patience;
using Departure = ::lifecycle::Traffic::Departure;
using ::probe::Note;
using ::probe::Probe;
using ::std::chrono::milliseconds;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kHealthWatch[] = "/grpc.health.v1.Health/Watch";
constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
// HealthCheckResponse, as bytes: the generated code would bring the descriptor that
// the host must bring by itself.
constexpr char kServing[] = "\x08\x01";
constexpr char kNotServing[] = "\x08\x02";
constexpr char kUnknown[] = "";
// Every server in this process serves it, as those of a debugging build may.
const bool kChannelzIsServed = (grpc::channelz::experimental::InitChannelzService(), true);
// So long that a test which waits it out fails by its own limit.
constexpr std::chrono::hours kNever(1);

Patience Short() { return Patience(Clock::Steady(), milliseconds(200), {}); }

class ServerHostTest : public HostUnderTest {
 protected:
  // Waits for them as a shutdown does, on a thread of its own.
  std::future<lifecycle::Traffic::Unfinished> AwaitCallsForEightSeconds(
      lifecycle::FakeClock& clock) {
    host_->CloseListener();
    host_->BeginShutdown();
    auto left = std::async(std::launch::async, [this, &clock] {
      Patience patience(clock, std::chrono::seconds(8), {});
      return host_->AwaitCallsFinished(patience);
    });
    clock.AwaitWaiters(1);
    return left;
  }

  static std::string HealthOf(const std::shared_ptr<grpc::Channel>& channel,
                              const std::string& service) {
    // HealthCheckRequest.service = 1.
    const std::string request = "\x0a" + std::string(1, static_cast<char>(service.size()));
    return RawStream(channel, "/grpc.health.v1.Health/Check").Ask(request + service);
  }
};

TEST_F(ServerHostTest, ServesWhatItIsGiven) {
  Start();
  EXPECT_TRUE(Echo(Connect()).ok());
  EXPECT_EQ(RawStream(Connect(), "/probe.Probe/NoSuchMethod").AwaitEnd().error_code(),
            grpc::UNIMPLEMENTED);
}

TEST_F(ServerHostTest, IsHealthyAsAWholeAndPerService) {
  Start();
  const auto channel = Connect();
  EXPECT_EQ(HealthOf(channel, ""), kServing);
  EXPECT_EQ(HealthOf(channel, "probe.Probe"), kServing);
  EXPECT_EQ(HealthOf(channel, "no.Such"), kUnknown);
}

TEST_F(ServerHostTest, DescribesItsServicesAndHealthThroughReflection) {
  Start();
  RawStream reflection(Connect(), kReflection);
  // Fields of reflection.proto: list_services = 7, file_containing_symbol = 4.
  const std::string services = reflection.Ask(std::string("\x3a\0", 2));
  EXPECT_THAT(services, HasSubstr("probe.Probe"));
  EXPECT_THAT(services, HasSubstr("grpc.health.v1.Health"));
  EXPECT_THAT(reflection.Ask("\x22\x15grpc.health.v1.Health"), HasSubstr("HealthCheckRequest"));
  EXPECT_THAT(reflection.Ask("\x22\x0bprobe.Probe"), HasSubstr("Note"));
}

TEST_F(ServerHostTest, RefusesAMessageThatIsTooLarge) {
  Start({.limits = {.max_receive_message_size = 1000}});
  EXPECT_TRUE(Echo(Connect(), std::string(900, 'x')).ok());
  EXPECT_EQ(Echo(Connect(), std::string(1100, 'x')).error_code(), grpc::RESOURCE_EXHAUSTED);
}

TEST_F(ServerHostTest, SharesItsProcessWithAnotherHost) {
  Start();
  GoodbyeSignal other_drain;
  {
    ServerHost other({}, {std::make_shared<ProbeService>()}, other_drain);
    ASSERT_TRUE(other.Start().ok());
    ASSERT_TRUE(other.Open().ok());
    EXPECT_TRUE(Echo(NewConnection(other.address())).ok());
    EXPECT_TRUE(Echo(Connect()).ok());
    other.CloseListener();
  }
  EXPECT_TRUE(Echo(Connect()).ok());
}

TEST_F(ServerHostTest, KeepsItsServicesAsLongAsItLives) {
  auto service = std::make_shared<ProbeService>();
  const std::weak_ptr<ProbeService> kept = service;
  {
    const ServerHost host({}, {std::move(service)}, goodbye_);
    EXPECT_FALSE(kept.expired());
  }
  EXPECT_TRUE(kept.expired());
}

TEST_F(ServerHostTest, HasNothingToCloseOnceItHasEnded) {
  Start();
  StopCleanly();
  host_->CloseListener();
}

TEST_F(ServerHostTest, LeavesItsServicesToAnotherOnceItHasEndedAndKeepsItsCounts) {
  const auto send_no_note = [](const std::string& address) {
    RawStream echo(NewConnection(address), "/probe.Probe/Echo");
    echo.Ask("\xff");
    EXPECT_EQ(echo.AwaitEnd().error_code(), grpc::INVALID_ARGUMENT);
  };
  Start();
  send_no_note(host_->address());
  EXPECT_EQ(host_->Refused().undecodable, 1);
  StopCleanly();
  GoodbyeSignal goodbye_of_next;
  ServerHost next({}, Services(), goodbye_of_next);
  ASSERT_TRUE(next.Start().ok());
  ASSERT_TRUE(next.Open().ok());
  send_no_note(next.address());
  EXPECT_EQ(next.Refused().undecodable, 1);
  EXPECT_EQ(host_->Refused().undecodable, 1);
  next.CloseListener();
}

TEST_F(ServerHostTest, DescribesNothingWithoutReflection) {
  Start({.reflection = false});
  EXPECT_TRUE(Echo(Connect()).ok());
  EXPECT_EQ(RawStream(Connect(), kReflection).AwaitEnd().error_code(), grpc::UNIMPLEMENTED);
}

// Notes what it sees.
class Witness final : public grpc::experimental::ServerInterceptorFactoryInterface {
 public:
  explicit Witness(std::atomic<int>& calls) : calls_(calls) {}
  grpc::experimental::Interceptor* CreateServerInterceptor(
      grpc::experimental::ServerRpcInfo* info) override {
    if (std::string(info->method()) == "/probe.Probe/Echo") ++calls_;
    return nullptr;
  }

 private:
  std::atomic<int>& calls_;
};

TEST_F(ServerHostTest, CountsCallsWithFurtherInterceptors) {
  std::atomic<int> seen{0};
  Start({.interceptors = [&seen] {
    ServerHost::InterceptorFactories factories;
    factories.push_back(std::make_unique<Witness>(seen));
    return factories;
  }});
  EXPECT_TRUE(Echo(Connect()).ok());
  EXPECT_EQ(seen, 1);
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  EXPECT_TRUE(testkit::Eventually([&] { return host_->TryCallsRunning() == 1; }));
  probe_.Release();
  EXPECT_TRUE(held.get().ok());
  StopCleanly();
}

// A generic service of the callback API.
class Anything final : public grpc::CallbackGenericService {
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    class Reactor final : public grpc::ServerGenericBidiReactor {
     public:
      Reactor() { StartRead(&message_); }
      void OnReadDone(bool ok) override { ok ? StartWrite(&message_) : Finish(grpc::Status::OK); }
      void OnWriteDone(bool ok) override {
        if (ok) StartRead(&message_);
      }
      void OnDone() override { delete this; }

     private:
      grpc::ByteBuffer message_;
    };
    return new Reactor;
  }
};

// A service of the synchronous API whose handler ends when the test releases it.
class Waits final : public probe::Probe::Service {
 public:
  grpc::Status Hold(grpc::ServerContext*, const probe::Note*, probe::Note*) override {
    begun.set_value();
    release.get_future().wait();
    return grpc::Status::OK;
  }
  std::promise<void> begun;
  std::promise<void> release;
};

TEST_F(ServerHostTest, CountsAndDrainsServicesOfTheOtherKinds) {
  Anything anything;
  Waits waits;
  host_.emplace(ServerHost::Options{.prepare =
                                        [&](grpc::ServerBuilder& builder) {
                                          builder.RegisterService(&waits);
                                          builder.RegisterCallbackGenericService(&anything);
                                        }},
                std::vector<std::shared_ptr<grpc::Service>>(), goodbye_);
  ASSERT_TRUE(host_->Start().ok());
  ASSERT_TRUE(host_->Open().ok());
  const auto channel = Connect();
  std::future<grpc::Status> held = Hold(channel);
  waits.begun.get_future().wait();
  EXPECT_TRUE(testkit::Eventually([&] { return host_->TryCallsRunning() == 1; }));
  std::optional<RawStream> stream(std::in_place, channel, "/any.Thing/AtAll");
  EXPECT_EQ(stream->Ask("hello"), "hello");
  EXPECT_TRUE(testkit::Eventually([&] { return host_->TryCallsRunning() == 2; }));
  stream.reset();
  waits.release.set_value();
  EXPECT_TRUE(held.get().ok());
  EXPECT_TRUE(AwaitNoCalls());
  StopCleanly();
}

// The lines that the host would have logged.
class ServerHostLimitsTest : public ServerHostTest {
 protected:
  void TearDown() override {
    ServerHostTest::TearDown();
    host_.reset();  // Before its lines.
  }
  // Among its lines is none of how busy this machine is.
  void Start(ConnectionLimits limits = {}) {
    ServerHostTest::Start({.limits = std::move(limits),
                           .blocked_threads = {std::chrono::minutes(1)},
                           .log = [this](const std::string& line) {
                             std::lock_guard lock(mutex_);
                             lines_.push_back(line);
                           }});
  }
  std::vector<std::string> lines() {
    std::lock_guard lock(mutex_);
    return lines_;
  }
  // The first one.
  std::string AwaitLine() {
    return testkit::Eventually([this] { return !lines().empty(); }) ? lines()[0] : "";
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;  // Guarded by mutex_.
};

TEST_F(ServerHostLimitsTest, RefuseFurtherConnectionsAndServeExistingOnes) {
  // A caller's own end takes a descriptor, too.
  Start({.max_connections = 8});
  const auto channel = Connect();
  ASSERT_TRUE(Echo(channel).ok());
  std::vector<std::unique_ptr<RawConnection>> callers;
  for (int i = 0; i < 8; ++i) {
    callers.push_back(std::make_unique<RawConnection>(host_->address()));
  }
  EXPECT_TRUE(callers.back()->AwaitEnd());
  EXPECT_TRUE(Echo(channel).ok());
  EXPECT_THAT(AwaitLine(), HasSubstr("refused a connection"));
  callers.clear();
  EXPECT_TRUE(testkit::Eventually([&] { return Echo(Connect()).ok(); }))
      << "when there is room again";
}

// What this process opens takes the last one, as a service that leaks does.
TEST_F(ServerHostLimitsTest, SayThatCallersWaitWhenNoDescriptorIsLeft) {
  Start();
  rlimit before;
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  const int lowest_free = dup(0);
  close(lowest_free);
  const rlimit one{.rlim_cur = static_cast<rlim_t>(lowest_free + 1), .rlim_max = before.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &one), 0);
  const RawConnection caller(host_->address());
  const std::string line = AwaitLine();
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_THAT(line, HasSubstr("callers wait, as no connection can be accepted: 1 time in the last "
                              "minute (Too many open files)"));
  EXPECT_TRUE(Echo(Connect()).ok());
}

TEST_F(ServerHostLimitsTest, RefuseCallsWhenTooManyRun) {
  Start({.max_calls_in_flight = 1});
  const auto channel = Connect();
  std::future<grpc::Status> held = Hold(channel);
  ASSERT_TRUE(probe_.AwaitHeld(1));
  EXPECT_EQ(Echo(channel).error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(HealthOf(channel, ""), kServing);
  probe_.Release();
  EXPECT_TRUE(held.get().ok());
  EXPECT_TRUE(testkit::Eventually([&] { return Echo(channel).ok(); }));
  EXPECT_THAT(AwaitLine(), HasSubstr("refused a call"));
}

TEST_F(ServerHostLimitsTest, EndACallBeyondTheLongestDeadline) {
  Start({.max_deadline = milliseconds(30)});
  EXPECT_EQ(Hold(Connect()).get().error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(host_->Refused().overdue_calls, 1);
  EXPECT_THAT(AwaitLine(), HasSubstr("--max_deadline"));
  StopCleanly();
}

TEST_F(ServerHostLimitsTest, LeaveThePeerOfOverdueCallsItsConnection) {
  Start({.max_deadline = milliseconds(30), .max_resets_per_second = 50});
  RawPeer peer(host_->address());
  const std::uint32_t stream = peer.Call("/probe.Probe/Watch", "\x0a\x01x");
  ASSERT_TRUE(peer.AwaitOn(stream, RawPeer::kData));
  // What happened before the first look is never counted.
  for (int batch = 1; batch <= 2; ++batch) {
    std::uint32_t last = 0;
    for (int i = 0; i < 300; ++i) last = peer.Call("/probe.Probe/Hold", "");
    EXPECT_TRUE(peer.AwaitAnswer(last));
    ASSERT_TRUE(testkit::Eventually([&] { return host_->Refused().overdue_calls == 300 * batch; }));
  }
  // It has looked at the others, too, when it ends this one.
  RawPeer resets(host_->address());
  for (int i = 0; i < 20000 && resets.open(); ++i) {
    resets.Reset(resets.Open("/probe.Probe/Watch"));
    if (i % 50 == 0) resets.AwaitAnswer(resets.Call("/probe.Probe/Echo", ""));
  }
  EXPECT_FALSE(resets.open());
  EXPECT_TRUE(testkit::Eventually([&] { return host_->Refused().ended_connections > 0; }));
  EXPECT_EQ(host_->Refused().ended_connections, 1);
  peer.Ping("are you?");
  EXPECT_TRUE(peer.Await(RawPeer::kPing));
  EXPECT_TRUE(testkit::Eventually([&] { return host_->Look().streams == 1; }));
}

TEST_F(ServerHostLimitsTest, SayAtTheEndWhatCameSince) {
  Start({.max_deadline = milliseconds(30)});
  const auto channel = Connect();
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Hold(channel).get().error_code(), grpc::DEADLINE_EXCEEDED);
    RawStream call(channel, "/probe.Probe/Echo");
    call.Ask("\x0a\x02\xff\xfe");
    EXPECT_EQ(call.AwaitEnd().error_code(), grpc::INVALID_ARGUMENT);
  }
  EXPECT_EQ(lines().size(), 2u);
  StopCleanly();
  for (const char* const each : {"ended a call", "a request could not be parsed"}) {
    EXPECT_THAT(lines(), Contains(HasSubstr(each)).Times(2));
  }
}

TEST_F(ServerHostLimitsTest, SayThatARequestCannotBeParsed) {
  Start();
  RawStream call(Connect(), "/probe.Probe/Echo");
  call.Ask("\x0a\x02\xff\xfe");
  EXPECT_EQ(call.AwaitEnd().error_code(), grpc::INVALID_ARGUMENT);
  EXPECT_THAT(AwaitLine(), HasSubstr("/probe.Probe/Echo"));
  StopCleanly();
}

TEST_F(ServerHostLimitsTest, EndAPeerThatOpensTooManyStreams) {
  Start({.max_concurrent_streams = 100});
  RawPeer peer(host_->address(), {.acknowledge_settings = false});
  for (int i = 0; i < 30000 && peer.open(); ++i) peer.Open("/probe.Probe/Hold");
  // Newer gRPC refuses what is above the limit; of older gRPC the connection is ended.
  const std::optional<RawPeer::Frame> refused = peer.Await(RawPeer::kReset);
  // While its memory quota is exceeded, gRPC cancels streams at random, also those of others
  // (grpc/grpc: chttp2_transport.cc, destructive_reclaimer_locked).
  EXPECT_TRUE(testkit::Eventually([&] { return Echo(Connect()).ok(); }));
  if (refused) {
    EXPECT_EQ(refused->error(), RawPeer::kEnhanceYourCalm);
  } else {
    EXPECT_FALSE(peer.open());
    EXPECT_TRUE(testkit::Eventually([&] { return !lines().empty(); }));
  }
}

TEST_F(ServerHostTest, InLameDuckServesButFailsHealthChecks) {
  Start();
  const auto old = Connect();
  EXPECT_TRUE(Echo(old).ok());
  RawStream watch(old, kHealthWatch);
  EXPECT_EQ(watch.Ask(""), kServing);

  host_->EnterLameDuck();
  EXPECT_EQ(watch.Next(), kNotServing);
  for (const auto& channel : {old, Connect()}) {
    EXPECT_EQ(HealthOf(channel, ""), kNotServing);
    EXPECT_EQ(HealthOf(channel, "probe.Probe"), kNotServing);
    EXPECT_TRUE(Echo(channel).ok());
  }
}

TEST_F(ServerHostTest, HintsDuringALameDuckUntilUndone) {
  Start();
  const auto channel = Connect();
  const auto hints = [&channel] {
    const auto context = Bounded();
    Note note;
    EXPECT_TRUE(Probe::NewStub(channel)->Echo(context.get(), note, &note).ok());
    return context->GetServerTrailingMetadata().count("draining");
  };
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(hints(), 0u);
    host_->EnterLameDuck();
    EXPECT_EQ(HealthOf(channel, ""), kNotServing);
    EXPECT_EQ(hints(), 1u);
    EXPECT_EQ(host_->Look().hinted, 1);
    host_->LeaveLameDuck();
    EXPECT_EQ(HealthOf(channel, ""), kServing);
    EXPECT_EQ(HealthOf(channel, "probe.Probe"), kServing);
  }
  EXPECT_EQ(hints(), 0u);
}

TEST_F(ServerHostTest, ReportsItsLoad) {
  Start();
  EXPECT_EQ(host_->Look().connections, 0);
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  RawStream chat(Connect(), "/probe.Probe/Chat");
  chat.Ask("");
  const lifecycle::Traffic::Load load = host_->Look();
  EXPECT_EQ(load.connections, 2);
  EXPECT_EQ(load.calls, 2);
  EXPECT_EQ(load.streams, 1);
  probe_.Release();
  EXPECT_TRUE(held.get().ok());
}

TEST_F(ServerHostTest, ServesExistingConnectionsOnceTheListenerIsClosed) {
  Start();
  RawConnection old(host_->address());
  old.Send(Http2Preface());
  ASSERT_TRUE(old.Receive(std::string("\0\0", 2))) << "it is connected";
  host_->CloseListener();
  EXPECT_FALSE(RawConnection(host_->address()).connected());
  EXPECT_EQ(Echo(Connect()).error_code(), grpc::UNAVAILABLE);
  // It has been asked to leave, and has not answered that.
  old.Send(Http2Headers("/probe.Probe/Echo") +
           Http2Frame(/*data=*/0, /*end of stream=*/1, 1, std::string(5, '\0')));
  const char headers[] = {1, 4, 0, 0, 0, 1};
  EXPECT_TRUE(old.ReceiveUntil(std::string(headers, sizeof headers)));
  EXPECT_TRUE(old.ReceiveUntil("draining")) << "the hint, also without a lame duck";
  host_->CloseListener();
}

TEST_F(ServerHostTest, AsksStreamsToEndThemselves) {
  Start();
  RawStream watch(Connect(), "/probe.Probe/Watch");
  watch.Ask("");
  RawStream chat(Connect(), "/probe.Probe/Chat");
  chat.Ask("");
  RawStream health(Connect(), kHealthWatch);
  health.Ask("");
  Patience patience = Long();
  EXPECT_EQ(host_->Look().streams, 2);
  host_->SayGoodbye(patience, 2);
  for (RawStream* stream : {&watch, &chat}) {
    const absl::Status ended = FromGrpc(stream->AwaitEnd());
    EXPECT_TRUE(absl::IsUnavailable(ended)) << ended;
    EXPECT_TRUE(SaysWhenToRetry(ended));
  }
}

TEST_F(ServerHostTest, SpreadsTheGoodbyesOfAllServersThatShareASignal) {
  Start();
  ServerHost second({}, {std::make_shared<ProbeService>()}, goodbye_);
  ASSERT_TRUE(second.Start().ok());
  ASSERT_TRUE(second.Open().ok());
  RawStream told(NewConnection(second.address()), "/probe.Probe/Chat");
  told.Ask("");
  RawStream waits(NewConnection(second.address()), "/probe.Probe/Chat");
  waits.Ask("");
  lifecycle::TrafficGroup both({&*host_, &second});
  EXPECT_EQ(both.Look().streams, 2);
  both.CloseListener();
  lifecycle::FakeClock clock;
  std::future<void> said = std::async(std::launch::async, [&] {
    Patience patience(clock, kNever, {});
    both.SayGoodbye(patience, 2);
  });
  EXPECT_TRUE(testkit::Eventually([&] { return clock.Look().threads == 1; }));
  EXPECT_TRUE(absl::IsUnavailable(FromGrpc(told.AwaitEnd())));
  const std::string note = "\x0a\x02hi";
  EXPECT_EQ(waits.Ask(note), note);
  EXPECT_TRUE(testkit::Eventually([&] {
    clock.Advance(milliseconds(1));
    return said.wait_for(milliseconds(0)) == std::future_status::ready;
  }));
  EXPECT_TRUE(absl::IsUnavailable(FromGrpc(waits.AwaitEnd())));
}

TEST_F(ServerHostTest, AsksConnectionsToLeaveAndCutsNoCall) {
  Start();
  const auto channel = Connect();
  std::future<grpc::Status> held = Hold(channel);
  ASSERT_TRUE(probe_.AwaitHeld(1));
  host_->CloseListener();
  EXPECT_TRUE(testkit::Eventually([&] { return channel->GetState(false) != GRPC_CHANNEL_READY; }));
  Patience too_short = Short();
  EXPECT_EQ(host_->AwaitConnectionsGone(too_short), Departure::kBusy);
  probe_.Release();
  EXPECT_TRUE(held.get().ok());
  Patience patience = Long();
  EXPECT_EQ(host_->AwaitConnectionsGone(patience), Departure::kGone);
}

TEST_F(ServerHostTest, AsksAConnectionMadeMeanwhileToLeave) {
  Start();
  RawConnection late(host_->address());
  ASSERT_TRUE(late.connected());
  host_->CloseListener();
  Patience patience = Long();
  host_->SayGoodbye(patience, host_->Look().streams);
  late.Send(Http2Preface());
  const char goaway[] = {7, 0, 0, 0, 0, 0};
  std::future<Departure> departure =
      std::async(std::launch::async, [&] { return host_->AwaitConnectionsGone(patience); });
  EXPECT_TRUE(late.ReceiveUntil(std::string(goaway, sizeof goaway)));
  EXPECT_EQ(departure.get(), Departure::kSilent);
}

TEST_F(ServerHostTest, WaitsForNoConnectionThatIsSilent) {
  Start();
  RawConnection mute(host_->address());
  RawConnection deaf(host_->address());
  deaf.Send(Http2Preface());
  EXPECT_TRUE(deaf.Receive(std::string("\0\0", 2))) << "it is connected";
  host_->CloseListener();
  Patience patience = Long();
  EXPECT_EQ(host_->AwaitConnectionsGone(patience), Departure::kSilent);
  EXPECT_EQ(host_->Look().connections, 2);
}

TEST_F(ServerHostTest, WaitsForASilentConnectionAsLongAsItIsTold) {
  Start({.limits = {.silent_connection_timeout = kNever}});
  RawPeer stays(host_->address());
  stays.HoldPings();
  ASSERT_TRUE(stays.Await(RawPeer::kSettings).has_value()) << "it is connected";
  host_->CloseListener();
  Patience patience(Clock::Steady(), std::chrono::seconds(2), {});
  EXPECT_EQ(host_->AwaitConnectionsGone(patience), Departure::kBusy);
}

// As after SIGCONT: what came meanwhile has yet to be read.
TEST_F(ServerHostTest, TrustsOnlySilenceThatItHasSeen) {
  Start();
  RawPeer stays(host_->address());
  stays.HoldPings();
  ASSERT_TRUE(stays.Await(RawPeer::kSettings).has_value()) << "it is connected";
  host_->CloseListener();
  std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // Nobody looks.
  Patience at_once(Clock::Steady(), Clock::Duration::zero(), {});
  EXPECT_EQ(host_->AwaitConnectionsGone(at_once), Departure::kBusy);
  Patience patience = Long();
  EXPECT_EQ(host_->AwaitConnectionsGone(patience), Departure::kSilent);
}

TEST_F(ServerHostTest, WaitsForARequestThatIsStillArriving) {
  Start();
  RawPeer caller(host_->address());
  const std::uint32_t stream = caller.Open("/probe.Probe/Echo");
  caller.Ping("12345678");
  ASSERT_TRUE(caller.Await(RawPeer::kPing).has_value()) << "what was sent before has arrived";
  host_->CloseListener();
  // Longer than a connection must be silent.
  Patience patience(Clock::Steady(), std::chrono::seconds(2), {});
  EXPECT_EQ(host_->AwaitConnectionsGone(patience), Departure::kBusy);
  EXPECT_EQ(host_->TryCallsRunning(), 0);
  caller.SendMessage(stream, "");
  EXPECT_TRUE(caller.AwaitAnswer(stream));
}

// gRPC itself would end it as CANCELLED, which no client sends elsewhere.
TEST_F(ServerHostTest, LeavesACallThatCrossesTheShutdownToAnotherReplica) {
  Start();
  RawPeer caller(host_->address());
  caller.HoldPings();
  ASSERT_TRUE(caller.AwaitAnswer(caller.Call("/probe.Probe/Echo", "")));
  host_->CloseListener();
  Patience patience = Long();
  ASSERT_EQ(host_->AwaitConnectionsGone(patience), Departure::kSilent);
  EXPECT_TRUE(host_->CloseSilent());
  host_->BeginShutdown();
  ASSERT_FALSE(host_->AwaitCallsFinished(patience).any());
  const std::uint32_t crosses = caller.Call("/probe.Probe/Echo", "");
  std::uint32_t last_stream = 0;
  while (const auto frame = caller.Next()) {
    EXPECT_NE(frame->stream, crosses);
    if (frame->type == RawPeer::kGoaway) last_stream = frame->last_stream();
  }
  EXPECT_FALSE(caller.open());
  EXPECT_LT(last_stream, crosses);
  EXPECT_TRUE(host_->Cancel(patience));
}

// Which has the same port, and whose connections each of them sees.
TEST_F(ServerHostTest, ClosesNoSilentConnectionOfAnotherServer) {
  Start();
  RawPeer ours(host_->address());
  ours.HoldPings();
  ASSERT_TRUE(ours.AwaitAnswer(ours.Call("/probe.Probe/Echo", "")));
  const auto service = std::make_shared<ProbeService>();
  GoodbyeSignal goodbye;
  ServerHost other({.address = "127.0.0.2" + host_->address().substr(host_->address().find(':'))},
                   {service}, goodbye);
  ASSERT_TRUE(other.Start().ok());
  ASSERT_TRUE(other.Open().ok());
  RawPeer its(other.address());
  ASSERT_TRUE(its.AwaitAnswer(its.Call("/probe.Probe/Echo", "")));
  host_->CloseListener();
  Patience patience = Long();
  ASSERT_EQ(host_->AwaitConnectionsGone(patience), Departure::kSilent);
  EXPECT_TRUE(host_->CloseSilent());
  EXPECT_TRUE(ours.AwaitEnd());
  EXPECT_TRUE(its.AwaitAnswer(its.Call("/probe.Probe/Echo", "")));
  other.CloseListener();
}

TEST_F(ServerHostTest, AnswersCallsInFlight) {
  Start();
  const auto channel = Connect();
  std::future<grpc::Status> first = Hold(channel);
  std::future<grpc::Status> second = Hold(channel);
  ASSERT_TRUE(probe_.AwaitHeld(2));
  EXPECT_EQ(host_->TryCallsRunning(), 2);
  host_->CloseListener();
  host_->BeginShutdown();
  Patience too_short = Short();
  EXPECT_EQ(host_->AwaitCallsFinished(too_short).calls, 2);
  probe_.Release();
  Patience patience = Long();
  EXPECT_FALSE(host_->AwaitCallsFinished(patience).any());
  EXPECT_TRUE(host_->Cancel(patience));
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
  EXPECT_EQ(host_->TryCallsRunning(), 0);
}

TEST_F(ServerHostTest, DemandsAnswersBeforeCallsAreCutOff) {
  Start();
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  lifecycle::FakeClock clock;
  std::future<lifecycle::Traffic::Unfinished> left = AwaitCallsForEightSeconds(clock);
  clock.Advance(milliseconds(7490));
  clock.AwaitWaiters(1);
  EXPECT_FALSE(goodbye_.answer_now().stop_requested());
  clock.Advance(milliseconds(10));
  clock.AwaitWaiters(1);
  EXPECT_TRUE(goodbye_.answer_now().stop_requested());
  clock.Advance(milliseconds(500));
  EXPECT_EQ(left.get().calls, 1);
  probe_.Release();
  EXPECT_TRUE(held.get().ok());
}

// As in a process that was suspended beyond its deadline.
TEST_F(ServerHostTest, WaitsLongerForCallsWhenLateItself) {
  Start();
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  lifecycle::FakeClock clock;
  std::future<lifecycle::Traffic::Unfinished> left = AwaitCallsForEightSeconds(clock);
  clock.Advance(std::chrono::seconds(8) + milliseconds(20));
  EXPECT_TRUE(testkit::Eventually([&] { return clock.Look().threads == 1; })) << "it has given up";
  probe_.Release();
  EXPECT_TRUE(held.get().ok());
  // A look at the moment at which its connection ends may still find it.
  ASSERT_TRUE(testkit::Eventually([&] {
    clock.Advance(std::chrono::microseconds(10));
    return left.wait_for(milliseconds(1)) == std::future_status::ready;
  }));
  EXPECT_FALSE(left.get().any());
}

TEST_F(ServerHostTest, CancelsEvenIfItIsLateItself) {
  Start();
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  Patience patience = Long();
  host_->CloseListener();
  host_->SayGoodbye(patience, host_->Look().streams);
  host_->BeginShutdown();
  lifecycle::FakeClock clock;
  Patience over(clock, std::chrono::seconds(1), {});
  clock.Advance(std::chrono::seconds(2));
  auto cancelled = std::async(std::launch::async, [&] { return host_->Cancel(over); });
  EXPECT_TRUE(testkit::Eventually([&] {
    clock.Advance(std::chrono::microseconds(10));
    return cancelled.wait_for(milliseconds(1)) == std::future_status::ready;
  }));
  clock.Advance(std::chrono::hours(1));  // It ends, also if it is broken.
  EXPECT_TRUE(cancelled.get());
  EXPECT_THAT(held.get().error_code(), AnyOf(grpc::UNAVAILABLE, grpc::CANCELLED));
}

TEST_F(ServerHostTest, AnswersCallsThatHeedTheDemandWhenExpedited) {
  Start();
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  // A call that gives up what it waits for.
  const std::stop_callback answer(goodbye_.answer_now(), [this] { probe_.Release(); });
  host_->CloseListener();
  host_->BeginShutdown();
  std::stop_source expedite;
  Patience patience(Clock::Steady(), kNever, expedite.get_token());
  std::thread expediting([&] { expedite.request_stop(); });
  EXPECT_FALSE(host_->AwaitCallsFinished(patience).any());
  expediting.join();
  EXPECT_TRUE(host_->Cancel(patience));
  EXPECT_TRUE(held.get().ok());
}

TEST_F(ServerHostTest, CountsAnUnfinishedRequestAsCut) {
  Start();
  RawPeer halfway(host_->address());
  halfway.Open("/probe.Probe/Echo");
  halfway.Ping("12345678");
  ASSERT_TRUE(halfway.Await(RawPeer::kPing).has_value()) << "what was sent before has arrived";
  host_->CloseListener();
  host_->BeginShutdown();
  Patience patience = Short();
  const lifecycle::Traffic::Unfinished left = host_->AwaitCallsFinished(patience);
  EXPECT_EQ(left.calls, 0);
  EXPECT_EQ(left.requests, 1);
  EXPECT_EQ(left.answers, 0);
}

TEST_F(ServerHostTest, WaitsForAnAnswerStillInTheKernel) {
  Start();
  Note much;
  much.set_text(std::string(12000, 'x'));
  RawPeer slow(host_->address(), {.receive_buffer = 4096});
  const std::uint32_t stream = slow.Call("/probe.Probe/Hold", much.SerializeAsString());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  host_->CloseListener();
  host_->BeginShutdown();
  std::future<lifecycle::Traffic::Unfinished> left = std::async(std::launch::async, [this] {
    Patience patience = Long();
    return host_->AwaitCallsFinished(patience);
  });
  // The last one: gRPC closes the connection as soon as it has written the answer.
  for (std::uint32_t last = RawPeer::kMaxStream; last != stream;) {
    const auto goaway = slow.Await(RawPeer::kGoaway);
    ASSERT_TRUE(goaway.has_value());
    last = goaway->last_stream();
  }
  probe_.Release();
  EXPECT_TRUE(testkit::Eventually([this] { return host_->Look().connections == 0; }));
  EXPECT_TRUE(slow.AwaitAnswer(stream));
  EXPECT_FALSE(left.get().any());
}

class ServerHostOnTwoSockets : public ServerHostTest {
 protected:
  // As systemd passes them, each under its name, and listens on both.
  void StartOn(const Listener& first, const std::string& name, const Listener& second,
               const std::string& other_name) {
    auto inherited = std::make_shared<InheritedSockets>();
    for (const int fd : first.Duplicate()) inherited->Add(fd, {name});
    for (const int fd : second.Duplicate()) inherited->Add(fd, {other_name});
    const bool one = name == other_name;
    Start({.address = one ? name : name + "," + other_name, .inherited = inherited});
  }

  // What is left when the server has written an answer to `slow`, which does not read it.
  lifecycle::Traffic::Unfinished LeaveAnAnswerTo(RawPeer& slow) {
    Note much;
    much.set_text(std::string(12000, 'x'));
    const std::uint32_t stream = slow.Call("/probe.Probe/Hold", much.SerializeAsString());
    EXPECT_TRUE(probe_.AwaitHeld(1));
    host_->CloseListener();
    host_->BeginShutdown();
    // The last one: gRPC closes the connection as soon as it has written the answer.
    for (std::uint32_t last = RawPeer::kMaxStream; last != stream;) {
      const auto goaway = slow.Await(RawPeer::kGoaway);
      EXPECT_TRUE(goaway.has_value());
      last = goaway ? goaway->last_stream() : stream;
    }
    probe_.Release();
    EXPECT_TRUE(testkit::Eventually([this] { return host_->Look().connections == 0; }));
    Patience patience = Short();
    const lifecycle::Traffic::Unfinished left = host_->AwaitCallsFinished(patience);
    EXPECT_TRUE(slow.AwaitAnswer(stream));
    return left;
  }

  static std::unique_ptr<Listener> Keep(const std::string& address) {
    std::unique_ptr<Listener> listener = *Listener::Bind(address);
    EXPECT_TRUE(listener->Listen().ok());
    return listener;
  }
};

TEST_F(ServerHostOnTwoSockets, CountsAnUnreadAnswerOnEachPortOfOneName) {
  const auto first = Keep("127.0.0.1:0");
  const auto second = Keep("127.0.0.1:0");
  StartOn(*first, "fd:orders", *second, "fd:orders");
  RawPeer slow(second->address(), {.receive_buffer = 4096});
  const lifecycle::Traffic::Unfinished left = LeaveAnAnswerTo(slow);
  EXPECT_EQ(left.calls, 0);
  EXPECT_EQ(left.requests, 0);
  EXPECT_EQ(left.answers, 1);
}

TEST_F(ServerHostOnTwoSockets, CountsAnUnreadAnswerOnceWhereTheyHaveOnePort) {
  const auto first = Keep("127.0.0.1:0");
  const auto second = Keep("127.0.0.2:" + absl::StrCat(first->ports().front()));
  StartOn(*first, "fd:first", *second, "fd:second");
  RawPeer slow(second->address(), {.receive_buffer = 4096});
  EXPECT_EQ(LeaveAnAnswerTo(slow).answers, 1);
}

// gRPC takes their statuses for sent as soon as it has begun to write them.
TEST_F(ServerHostOnTwoSockets, CountsStreamsAsCutWhoseGoodbyesAreStuck) {
  constexpr int kStreams = 400;
  const auto listener = Keep("127.0.0.1:0");
  for (const int fd : listener->Duplicate()) {
    const int little = 4096;
    EXPECT_EQ(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &little, sizeof little), 0);
    close(fd);
  }
  const auto other = Keep("127.0.0.1:0");
  StartOn(*listener, "fd:first", *other, "fd:second");
  RawPeer frozen(listener->address(), {.receive_buffer = 4096});
  for (int i = 0; i < kStreams; ++i) {
    const std::uint32_t stream = frozen.Call("/probe.Probe/Watch", "");
    ASSERT_TRUE(frozen.AwaitOn(stream, RawPeer::kData).has_value());
  }
  host_->CloseListener();
  Patience goodbyes = Short();
  host_->SayGoodbye(goodbyes, kStreams);
  host_->BeginShutdown();
  Patience calls = Short();
  EXPECT_GT(host_->AwaitCallsFinished(calls).calls, 0);
  Patience patience = Long();
  EXPECT_TRUE(host_->Cancel(patience));
  int answered = 0;
  frozen.HoldPings();  // Else the kernel drops what it still has for a peer that writes to nobody.
  while (const auto frame = frozen.Next()) {
    if (frame->type == RawPeer::kHeaders && (frame->flags & RawPeer::kEndStream) != 0) ++answered;
  }
  const lifecycle::CallTally tally = host_->TryTally();
  EXPECT_LE(tally.streams_ended, answered);
  EXPECT_EQ(tally.streams_cut, kStreams - tally.streams_ended);
}

TEST_F(ServerHostTest, CutsNoCallBecauseHealthWatchesEndMeanwhile) {
  Start();
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  std::vector<std::unique_ptr<RawStream>> watches;
  for (int i = 0; i < 100; ++i) {
    watches.push_back(std::make_unique<RawStream>(Connect(), kHealthWatch));
    ASSERT_NE(watches.back()->Ask(""), "") << watches.back()->AwaitEnd().error_message();
  }
  host_->CloseListener();
  host_->BeginShutdown();
  for (const auto& watch : watches) watch->Cancel();
  Patience patience = Short();
  EXPECT_EQ(host_->AwaitCallsFinished(patience).calls, 1);
  probe_.Release();
  EXPECT_TRUE(held.get().ok());
}

TEST_F(ServerHostTest, OpenHealthAndReflectionStreamsDelayNothing) {
  Start();
  RawStream health(Connect(), kHealthWatch);
  EXPECT_NE(health.Ask(""), "");
  RawStream reflection(Connect(), kReflection);
  EXPECT_NE(reflection.Ask(std::string("\x3a\0", 2)), "");
  StopCleanly();
  EXPECT_FALSE(health.AwaitEnd().ok());
  EXPECT_FALSE(reflection.AwaitEnd().ok());
}

TEST_F(ServerHostTest, IsNotDelayedByAnUnreadChannelzCall) {
  Start();
  EXPECT_NE(RawStream(Connect(), "/grpc.channelz.v1.Channelz/GetServers").Ask(""), "");
  constexpr char kData = 0;
  constexpr char kEndOfStream = 1;
  constexpr char kSettings = 4;
  RawConnection caller(host_->address());
  caller.Send(Http2Preface() +
              // It takes no byte of any message.
              Http2Frame(kSettings, 0, 0, std::string("\0\x04\0\0\0\0", 6)) +
              Http2Headers("/grpc.channelz.v1.Channelz/GetServers") +
              Http2Frame(kData, kEndOfStream, 1, std::string(5, '\0')));
  const char headers[] = {1, 4, 0, 0, 0, 1};  // The answer begins.
  EXPECT_TRUE(caller.ReceiveUntil(std::string(headers, sizeof headers)));
  EXPECT_EQ(host_->TryCallsRunning(), 0);
  StopCleanly();
  EXPECT_TRUE(caller.AwaitEnd());
}

TEST_F(ServerHostTest, EndsConnectionsThatCarryNothing) {
  Start();
  const auto idle = Connect();
  EXPECT_TRUE(Echo(idle).ok());
  RawConnection silent(host_->address());
  RawConnection frozen(host_->address());
  frozen.Send(Http2Preface());
  EXPECT_TRUE(frozen.Receive(std::string("\0\0", 2)));
  Patience patience = Long();
  host_->CloseListener();
  host_->BeginShutdown();
  EXPECT_FALSE(host_->AwaitCallsFinished(patience).any());
  // Server::Shutdown() would wait for the first for 5 s, for the others for 20 s.
  Patience less(Clock::Steady(), std::chrono::seconds(4), {});
  EXPECT_TRUE(host_->Cancel(less));
  EXPECT_TRUE(silent.AwaitEnd());
  EXPECT_TRUE(frozen.AwaitEnd());
}

TEST_F(ServerHostTest, CancelsWhatStillRuns) {
  Start();
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  RawStream chat(Connect(), "/probe.Probe/Chat");
  chat.Ask("");
  host_->CloseListener();
  host_->BeginShutdown();
  Patience patience = Long();
  EXPECT_TRUE(host_->Cancel(patience));
  EXPECT_THAT(held.get().error_code(), AnyOf(grpc::UNAVAILABLE, grpc::CANCELLED));
  EXPECT_THAT(chat.AwaitEnd().error_code(), AnyOf(grpc::UNAVAILABLE, grpc::CANCELLED));
}

TEST_F(ServerHostTest, ReportsTheCallsSinceTheShutdownBegan) {
  Start();
  EXPECT_TRUE(Echo(Connect()).ok());  // Before: it is not told of.
  ASSERT_TRUE(AwaitNoCalls());
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  RawStream chat(Connect(), "/probe.Probe/Chat");
  chat.Ask("");
  const auto channel = Connect();
  host_->EnterLameDuck();
  EXPECT_TRUE(Echo(channel).ok());
  host_->CloseListener();
  host_->BeginShutdown();
  Patience patience = Long();
  EXPECT_TRUE(host_->Cancel(patience));
  const lifecycle::CallTally tally = host_->TryTally();
  std::vector<std::string> rows;
  for (const auto& row : tally.methods) {
    rows.push_back(absl::StrCat(row.name, " ", row.finished, " ", row.cancelled, " ", row.left));
  }
  EXPECT_THAT(rows, testing::ElementsAre("/probe.Probe/Chat 0 1 0", "/probe.Probe/Echo 1 0 0",
                                         "/probe.Probe/Hold 0 1 0"));
  EXPECT_EQ(tally.streams_ended, 0);
  EXPECT_EQ(tally.streams_cut, 1);
}

TEST_F(ServerHostTest, ReportsTheCallsSinceItsLastLameDuck) {
  Start();
  const auto channel = Connect();
  host_->EnterLameDuck();
  EXPECT_TRUE(Echo(channel).ok());
  ASSERT_TRUE(AwaitNoCalls());
  host_->LeaveLameDuck();
  EXPECT_TRUE(Echo(channel).ok());
  EXPECT_TRUE(AwaitNoCalls());
  EXPECT_TRUE(host_->TryTally().methods.empty());
  host_->EnterLameDuck();
  EXPECT_TRUE(Echo(channel).ok());
  EXPECT_TRUE(AwaitNoCalls());
  ASSERT_EQ(host_->TryTally().methods.size(), 1U);
  EXPECT_EQ(host_->TryTally().methods[0].finished, 1);
}

TEST_F(ServerHostTest, CancelsWhileCallsKeepArriving) {
  for (int round = 0; round < 20; ++round) {
    Start();
    std::vector<std::thread> callers;
    std::atomic<int> answered = 0;
    for (int i = 0; i < 4; ++i) {
      callers.emplace_back([&, channel = Connect()] {
        for (bool ok = true; ok; ++answered) {
          ok = Echo(channel).ok();
          RawStream(channel, "/probe.Probe/Chat").Ask("");
        }
      });
    }
    EXPECT_TRUE(testkit::Eventually([&] { return answered > 8; }));
    host_->CloseListener();
    host_->BeginShutdown();
    Patience patience = Long();
    EXPECT_TRUE(host_->Cancel(patience));
    for (std::thread& caller : callers) caller.join();
  }
}

TEST_F(ServerHostTest, IsAbandonedWhenAHandlerNeverFinishes) {
  Start();
  std::future<grpc::Status> deaf = Hold(Connect(), "deaf");
  ASSERT_TRUE(probe_.AwaitHeld(1));
  host_->CloseListener();
  host_->BeginShutdown();
  Patience patience = Short();
  EXPECT_FALSE(host_->Cancel(patience));
  EXPECT_EQ(host_->TryCallsRunning(), 1);
  EXPECT_FALSE(deaf.get().ok());
  // So that the test can end.
  probe_.Release();
}

TEST_F(ServerHostTest, IsNotDestroyedWhileCallersAreLetIn) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(
      {
        Start();
        host_.reset();
      },
      "broken precondition: a server that accepts callers was destroyed without a shutdown");
}

TEST_F(ServerHostTest, EndsEverythingWhenDestroyedWithoutWaiting) {
  Start();
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  RawStream watch(Connect(), "/probe.Probe/Watch");
  watch.Ask("");
  RawStream health(Connect(), kHealthWatch);
  EXPECT_NE(health.Ask(""), "");
  RawConnection silent(host_->address());
  const std::string address = host_->address();
  host_->CloseListener();
  host_.reset();
  EXPECT_FALSE(held.get().ok());
  EXPECT_FALSE(watch.AwaitEnd().ok());
  EXPECT_FALSE(health.AwaitEnd().ok());
  EXPECT_TRUE(silent.AwaitEnd());
  EXPECT_FALSE(RawConnection(address).connected());
}

TEST_F(ServerHostTest, EndsEverythingWhenDestroyedDuringAShutdown) {
  Start();
  std::future<grpc::Status> held = Hold(Connect());
  ASSERT_TRUE(probe_.AwaitHeld(1));
  host_->CloseListener();
  host_->BeginShutdown();
  host_.reset();
  EXPECT_FALSE(held.get().ok());
}

TEST_F(ServerHostTest, LeavesNoDescriptorBehind) {
  const auto serve_and_stop = [this] {
    Start();
    EXPECT_TRUE(Echo(Connect()).ok());
    RawConnection silent(host_->address());
    StopCleanly();
    host_.reset();
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  // gRPC keeps some for the whole process, and closes sockets a little later.
  const auto before = serve_and_stop();
  for (int i = 0; i < 5; ++i) serve_and_stop();
  EXPECT_TRUE(testkit::Eventually([&] { return serve_and_stop() <= before; }));
}

// What it writes, for another thread to wait for.
class Lines {
 public:
  std::function<void(const std::string&)> Receiver() {
    return [this](const std::string& line) {
      std::lock_guard lock(mutex_);
      lines_.push_back(line);
    };
  }
  std::vector<std::string> Await(std::size_t count) {
    const auto lines = [this] {
      std::lock_guard lock(mutex_);
      return lines_;
    };
    EXPECT_TRUE(testkit::Eventually([&] { return lines().size() >= count; }));
    return lines();
  }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;  // Guarded by mutex_.
};

// Longer than a busy machine keeps threads waiting that nobody blocks.
const BlockedThreads::Limits kLimits{std::chrono::seconds(2)};

// As when peers flood it with frames: nothing to restart it for.
TEST_F(ServerHostTest, AnswersAlthoughThreadsAreBlockedIfNoCallRuns) {
  if (!kRunsOutOfThreads) GTEST_SKIP() << "gRPC makes more of them";
  Lines lines;
  Start({.blocked_threads = kLimits, .log = lines.Receiver()});
  {
    const Blocker blocker;
    EXPECT_THAT(lines.Await(1), ElementsAre(HasSubstr("but no call is running")));
    EXPECT_TRUE(host_->Answers());
  }
  StopCleanly();
}

TEST_F(ServerHostTest, DoesNotAnswerIfThreadsAreBlockedForLong) {
  if (!kRunsOutOfThreads) GTEST_SKIP() << "gRPC makes more of them";
  Start({.blocked_threads = {.blocked = milliseconds(1), .for_long = milliseconds(2)}});
  {
    const Blocker blocker;
    EXPECT_TRUE(testkit::Eventually([this] { return !host_->Answers(); }));
  }
  EXPECT_TRUE(testkit::Eventually([this] { return host_->Answers(); }));
  StopCleanly();
}

TEST_F(ServerHostTest, DoesNotAnswerIfThreadsAreBlockedAndACallRuns) {
  if (!kRunsOutOfThreads) GTEST_SKIP() << "gRPC makes more of them";
  Lines lines;
  Start({.blocked_threads = kLimits, .log = lines.Receiver()});
  const auto channel = Connect();
  auto held = Hold(channel);
  ASSERT_TRUE(probe_.AwaitHeld(1));
  {
    const Blocker blocker;
    EXPECT_THAT(lines.Await(1), ElementsAre(HasSubstr("In flight: 1 /probe.Probe/Hold")));
    EXPECT_FALSE(host_->Answers());
  }
  EXPECT_TRUE(testkit::Eventually([this] { return host_->Answers(); }));
  probe_.Release();
  EXPECT_TRUE(held.get().ok());
  StopCleanly();
}

}  // namespace
}  // namespace rpc
