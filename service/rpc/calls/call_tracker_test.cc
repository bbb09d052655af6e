#include "service/rpc/calls/call_tracker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "grpc/health/v1/health.grpc.pb.h"
#include "grpcpp/ext/channelz_service_plugin.h"
#include "grpcpp/ext/proto_server_reflection_plugin.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/health_check_service_interface.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/handler_guard.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using probe::Note;
using testing::ElementsAre;
using testing::StartsWith;

constexpr char kWatch[] = "/probe.Probe/Watch";
constexpr char kChat[] = "/probe.Probe/Chat";
constexpr char kHealthWatch[] = "/grpc.health.v1.Health/Watch";
constexpr char kReflection[] = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
// Every server in this process serves it.
const bool kChannelzIsServed = (grpc::channelz::experimental::InitChannelzService(), true);
const std::string kListServices("\x3a\0", 2);  // As reflection.proto has it: list_services: ""

// The same service by the older API, one thread for each call.
class SyncProbe final : public probe::Probe::Service {
 public:
  grpc::Status Hold(grpc::ServerContext* context, const Note*, Note*) override {
    return AwaitCancelled(context);
  }
  grpc::Status Watch(grpc::ServerContext* context, const Note* request,
                     grpc::ServerWriter<Note>* writer) override {
    writer->Write(*request);
    return AwaitCancelled(context);
  }

 private:
  static grpc::Status AwaitCancelled(grpc::ServerContext* context) {
    EXPECT_TRUE(testkit::Eventually([&] { return context->IsCancelled(); }));
    return grpc::Status::CANCELLED;
  }
};

// Serves any method: sends every message back.
class Parrot final : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    class Reactor final : public grpc::ServerGenericBidiReactor {
     public:
      Reactor() { StartRead(&message_); }
      void OnReadDone(bool ok) override {
        if (!ok) return Finish(grpc::Status::OK);
        StartWrite(&message_);
      }
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

class CallTrackerTest : public ::testing::Test {
 protected:
  void Start(grpc::Service& service) {
    builder_.RegisterService(&service);
    Start();
  }

  void Start() {
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    int port = 0;
    builder_.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    tracker_.Install(builder_);
    server_ = builder_.BuildAndStart();
    ASSERT_NE(server_, nullptr);
    address_ = "127.0.0.1:" + std::to_string(port);
  }

  void TearDown() override {
    if (server_ == nullptr) return;
    probe_.Release();
    server_->Shutdown(std::chrono::system_clock::now());
    server_.reset();
    // Whatever has begun has ended, and has been told exactly once.
    EXPECT_EQ(tracker_.running(), 0);
    EXPECT_EQ(tracker_.streams(), 0);
  }

  std::shared_ptr<grpc::Channel> Connect() const { return NewConnection(address_); }

  // A thread that calls Hold and wants it answered.
  std::thread Holder() {
    return std::thread([channel = Connect()] {
      Note note;
      const grpc::Status status =
          probe::Probe::NewStub(channel)->Hold(Bounded().get(), Note(), &note);
      EXPECT_TRUE(status.ok()) << status.error_message();
    });
  }

  // "method finished cancelled left", by name.
  std::vector<std::string> Tally() {
    std::vector<std::string> rows;
    for (const auto& row : tracker_.TryTally().methods) {
      rows.push_back(row.name + " " + std::to_string(row.finished) + " " +
                     std::to_string(row.cancelled) + " " + std::to_string(row.left));
    }
    return rows;
  }

  // "method status calls", by method.
  std::vector<std::string> Stats() {
    std::vector<std::string> rows;
    for (const CallStats::Row& row : tracker_.Stats().ended) {
      const auto calls = std::accumulate(row.buckets.begin(), row.buckets.end(), std::int64_t{0});
      rows.push_back(row.method + " " + std::to_string(row.status) + " " + std::to_string(calls));
    }
    return rows;
  }

  CallTracker tracker_;
  ProbeService probe_;
  SyncProbe sync_probe_;
  Parrot parrot_;
  grpc::ServerBuilder builder_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
};

TEST_F(CallTrackerTest, CountsUnaryCallsUntilTheyAreAnswered) {
  Start(probe_);
  std::thread first = Holder();
  std::thread second = Holder();
  ASSERT_TRUE(probe_.AwaitHeld(2));
  EXPECT_EQ(tracker_.running(), 2);
  EXPECT_EQ(tracker_.streams(), 0);
  probe_.Release();
  first.join();
  second.join();
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
}

TEST_F(CallTrackerTest, CountsAnAbandonedCallUntilItsHandlerEnds) {
  Start(probe_);
  const std::unique_ptr<grpc::ClientContext> context = Bounded();
  std::thread caller([&] {
    Note deaf, answer;
    deaf.set_text("deaf");
    const grpc::Status status =
        probe::Probe::NewStub(Connect())->Hold(context.get(), deaf, &answer);
    EXPECT_EQ(status.error_code(), grpc::CANCELLED);
  });
  ASSERT_TRUE(probe_.AwaitHeld(1));
  context->TryCancel();
  caller.join();
  EXPECT_EQ(tracker_.running(), 1);
  probe_.Release();
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
}

TEST_F(CallTrackerTest, CountsCallsThatCannotBeServed) {
  Start(probe_);
  tracker_.CountByMethod(true);
  const auto channel = Connect();
  EXPECT_EQ(RawStream(channel, "/probe.Probe/NoSuchMethod").AwaitEnd().error_code(),
            grpc::UNIMPLEMENTED);
  RawStream unreadable(channel, "/probe.Probe/Hold");
  unreadable.Ask("\xff\xff\xff");
  EXPECT_FALSE(unreadable.AwaitEnd().ok());
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  EXPECT_THAT(Tally(), ElementsAre(" 1 0 0", "/probe.Probe/Hold 1 0 0"));
}

TEST_F(CallTrackerTest, CountsCallsByMethodAndStatus) {
  Start(probe_);
  const auto channel = Connect();
  Note note;
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(probe::Probe::NewStub(channel)->Echo(Bounded().get(), note, &note).ok());
  }
  RawStream watch(channel, kWatch);
  watch.Ask("");
  tracker_.CancelAll();
  EXPECT_EQ(watch.AwaitEnd().error_code(), grpc::CANCELLED);
  EXPECT_EQ(RawStream(channel, "/probe.Probe/Gather").AwaitEnd().error_code(), grpc::UNIMPLEMENTED);
  EXPECT_EQ(RawStream(channel, "/invented.by/Caller").AwaitEnd().error_code(), grpc::UNIMPLEMENTED);
  EXPECT_NE(RawStream(channel, "/grpc.channelz.v1.Channelz/GetServers").Ask(""), "");
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  EXPECT_THAT(Stats(), ElementsAre("/probe.Probe/Echo -1 2", "/probe.Probe/Gather -1 1",
                                   "/probe.Probe/Watch 1 1", StartsWith("other ")));
  for (const CallStats::Started& each : tracker_.Stats().started) {
    EXPECT_EQ(each.calls, each.method == "/probe.Probe/Echo" ? 2 : 1) << each.method;
  }
}

TEST_F(CallTrackerTest, TakesAUnaryCallsStatusFromItsHarness) {
  class Reports final : public probe::Probe::CallbackService {
   public:
    explicit Reports(CallTracker& tracker) : tracker_(tracker) {}
    grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note*,
                                   Note*) override {
      tracker_.SetStatus(static_cast<grpc::ServerContextBase*>(context), grpc::NOT_FOUND);
      grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
      reactor->Finish(grpc::Status(grpc::NOT_FOUND, ""));
      return reactor;
    }

   private:
    CallTracker& tracker_;
  } reports(tracker_);
  Start(reports);
  Note note;
  EXPECT_FALSE(probe::Probe::NewStub(Connect())->Echo(Bounded().get(), note, &note).ok());
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  EXPECT_THAT(Stats(), ElementsAre("/probe.Probe/Echo 5 1"));
  TearDown();
}

TEST_F(CallTrackerTest, DoesNotCountACallThatReachesNobody) {
  Start(probe_);
  {
    RawConnection caller(address_);
    caller.Send(Http2Preface() + Http2Headers("/probe.Probe/Echo"));  // And never its message.
    Note note;
    EXPECT_TRUE(probe::Probe::NewStub(Connect())->Echo(Bounded().get(), note, &note).ok());
  }
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
}

TEST_F(CallTrackerTest, KnowsStreamsOfTheCallbackApi) {
  Start(probe_);
  RawStream watch(Connect(), kWatch);
  EXPECT_EQ(watch.Ask(""), "");
  RawStream chat(Connect(), kChat);
  chat.Ask("");
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.streams() == 2; }));
  EXPECT_EQ(tracker_.running(), 2);
  tracker_.CancelAll();
  EXPECT_EQ(watch.AwaitEnd().error_code(), grpc::CANCELLED);
  EXPECT_EQ(chat.AwaitEnd().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.streams() == 0; }));
}

TEST_F(CallTrackerTest, KnowsCallsOfTheSyncApi) {
  Start(sync_probe_);
  RawStream watch(Connect(), kWatch);
  watch.Ask("");
  RawStream hold(Connect(), "/probe.Probe/Hold");
  std::thread asking([&] { hold.Ask(""); });
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 2; }));
  EXPECT_EQ(tracker_.streams(), 1);
  // A call counts as running a moment before it can be cancelled.
  EXPECT_TRUE(testkit::Eventually([&] {
    tracker_.CancelAll();
    return tracker_.running() == 0;
  }));
  asking.join();
  EXPECT_EQ(watch.AwaitEnd().error_code(), grpc::CANCELLED);
  EXPECT_EQ(hold.AwaitEnd().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
}

TEST_F(CallTrackerTest, KnowsStreamsOfAGenericService) {
  builder_.RegisterCallbackGenericService(&parrot_);
  Start();
  RawStream stream(Connect(), "/any.Service/Method");
  EXPECT_EQ(stream.Ask("pretty"), "pretty");
  EXPECT_EQ(tracker_.streams(), 1);
  EXPECT_EQ(tracker_.running(), 1);
  tracker_.CancelAll();
  EXPECT_EQ(stream.AwaitEnd().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
}

TEST_F(CallTrackerTest, SeparatesInfrastructureCallsFromWork) {
  Start(probe_);
  RawStream health(Connect(), kHealthWatch);
  EXPECT_NE(health.Ask(""), "");
  RawStream reflection(Connect(), kReflection);
  EXPECT_NE(reflection.Ask(kListServices), "");
  grpc::health::v1::HealthCheckResponse answer;
  EXPECT_TRUE(
      grpc::health::v1::Health::NewStub(Connect())->Check(Bounded().get(), {}, &answer).ok());
  EXPECT_NE(RawStream(Connect(), "/grpc.channelz.v1.Channelz/GetServers").Ask(""), "");
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.infrastructure() == 2; }));
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.streams() == 0; }));
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  RawStream watch(Connect(), kWatch);
  watch.Ask("");
  tracker_.CancelInfrastructure();
  EXPECT_EQ(health.AwaitEnd().error_code(), grpc::CANCELLED);
  EXPECT_EQ(reflection.AwaitEnd().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.infrastructure() == 0; }));
  EXPECT_EQ(tracker_.streams(), 1);
}

TEST_F(CallTrackerTest, LeavesUnaryCallsAloneWhenItCancels) {
  Start(probe_);
  std::thread caller = Holder();
  ASSERT_TRUE(probe_.AwaitHeld(1));
  tracker_.CancelAll();
  probe_.Release();
  caller.join();  // Answered.
}

// The hint in the trailing metadata of a call that has ended; "" without one.
std::string HintOf(const grpc::ClientContext& context) {
  const auto& trailers = context.GetServerTrailingMetadata();
  const auto hint = trailers.find("draining");
  EXPECT_LE(trailers.count("draining"), 1u);
  return hint == trailers.end() ? "" : std::string(hint->second.data(), hint->second.size());
}

TEST_F(CallTrackerTest, HintsCallsThatBeginMeanwhileAndNoOthers) {
  Start(probe_);
  const auto stub = probe::Probe::NewStub(Connect());
  const auto echo = [&stub] {
    const auto context = Bounded();
    Note note;
    EXPECT_TRUE(stub->Echo(context.get(), note, &note).ok());
    return HintOf(*context);
  };
  const auto begun_before = Bounded();
  Note held;
  std::thread holder([&] { EXPECT_TRUE(stub->Hold(begun_before.get(), Note(), &held).ok()); });
  ASSERT_TRUE(probe_.AwaitHeld(1));
  EXPECT_EQ(echo(), "");
  EXPECT_EQ(tracker_.hinted(), 0);

  tracker_.Hint(true);
  EXPECT_EQ(echo(), "1");
  tracker_.Hint(true);
  EXPECT_EQ(echo(), "1");
  EXPECT_EQ(tracker_.hinted(), 2);

  tracker_.Hint(false);
  EXPECT_EQ(echo(), "");
  EXPECT_EQ(tracker_.hinted(), 2);
  tracker_.Hint(true);
  EXPECT_EQ(tracker_.hinted(), 0) << "it counts anew";
  probe_.Release();
  holder.join();
  EXPECT_EQ(HintOf(*begun_before), "");
}

TEST_F(CallTrackerTest, HintsStreamsHoweverTheyAreAnswered) {
  GoodbyeSignal goodbye;
  HandlerGuard guard([] { return false; }, [](const std::string&) {}, {}, {}, &goodbye);
  guard.Install(probe_);
  Start(probe_);
  tracker_.Hint(true);
  const auto stub = probe::Probe::NewStub(Connect());
  const auto chatting = Bounded();
  const auto chat = stub->Chat(chatting.get());
  Note note;
  chat->Write(note);
  EXPECT_TRUE(chat->Read(&note));
  chat->WritesDone();
  EXPECT_TRUE(chat->Finish().ok());
  EXPECT_EQ(HintOf(*chatting), "1");

  const auto watching = Bounded();
  const auto watch = stub->Watch(watching.get(), note);
  EXPECT_TRUE(watch->Read(&note));
  goodbye.Announce();
  EXPECT_EQ(watch->Finish().error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(HintOf(*watching), "1");
  EXPECT_EQ(watching->GetServerTrailingMetadata().count("grpc-status-details-bin"), 1u);
  EXPECT_EQ(tracker_.hinted(), 2);
}

TEST_F(CallTrackerTest, HintsNeitherHealthChecksNorSyncCalls) {
  Start(sync_probe_);
  tracker_.Hint(true);
  const auto checking = Bounded();
  grpc::health::v1::HealthCheckResponse answer;
  EXPECT_TRUE(
      grpc::health::v1::Health::NewStub(Connect())->Check(checking.get(), {}, &answer).ok());
  EXPECT_EQ(HintOf(*checking), "");
  const auto watching = Bounded();
  const auto watch = probe::Probe::NewStub(Connect())->Watch(watching.get(), Note());
  Note note;
  EXPECT_TRUE(watch->Read(&note));
  tracker_.CancelAll();
  EXPECT_FALSE(watch->Finish().ok());
  EXPECT_EQ(HintOf(*watching), "");
  EXPECT_EQ(tracker_.hinted(), 0);
}

TEST_F(CallTrackerTest, CountsByMethodFromACertainMomentOn) {
  Start(probe_);
  Note note;
  const auto channel = Connect();
  EXPECT_TRUE(probe::Probe::NewStub(channel)->Echo(Bounded().get(), note, &note).ok());
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  std::thread before = Holder();  // Begins before the moment, ends after it.
  ASSERT_TRUE(probe_.AwaitHeld(1));
  tracker_.CountByMethod(true);
  EXPECT_THAT(Tally(), ElementsAre("/probe.Probe/Hold 0 0 1"));
  EXPECT_TRUE(probe::Probe::NewStub(channel)->Echo(Bounded().get(), note, &note).ok());
  probe_.Release();
  before.join();
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  EXPECT_THAT(Tally(), ElementsAre("/probe.Probe/Echo 1 0 0", "/probe.Probe/Hold 1 0 0"));
}

TEST_F(CallTrackerTest, ForgetsCountsByMethodWhenItStopsCounting) {
  Start(probe_);
  tracker_.CountByMethod(true);
  Note note;
  const auto stub = probe::Probe::NewStub(Connect());
  EXPECT_TRUE(stub->Echo(Bounded().get(), note, &note).ok());
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  tracker_.CountByMethod(true);
  EXPECT_THAT(Tally(), ElementsAre("/probe.Probe/Echo 1 0 0")) << "it counts already";
  tracker_.CountByMethod(false);
  EXPECT_THAT(Tally(), ElementsAre());
  EXPECT_TRUE(stub->Echo(Bounded().get(), note, &note).ok());
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  tracker_.CountByMethod(true);
  EXPECT_THAT(Tally(), ElementsAre());
}

TEST_F(CallTrackerTest, CountsAnAbandonedCallAsCancelled) {
  Start(probe_);
  tracker_.CountByMethod(true);
  const std::unique_ptr<grpc::ClientContext> context = Bounded();
  const auto channel = Connect();
  std::thread caller([&] {
    Note deaf, answer;
    deaf.set_text("deaf");
    probe::Probe::NewStub(channel)->Hold(context.get(), deaf, &answer);
  });
  ASSERT_TRUE(probe_.AwaitHeld(1));
  context->TryCancel();
  caller.join();
  // On the same connection: it comes after the cancellation.
  Note note;
  EXPECT_TRUE(probe::Probe::NewStub(channel)->Echo(Bounded().get(), note, &note).ok());
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 1; }));
  EXPECT_THAT(Tally(), ElementsAre("/probe.Probe/Echo 1 0 0", "/probe.Probe/Hold 0 0 1"));
  probe_.Release();
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  EXPECT_THAT(Tally(), ElementsAre("/probe.Probe/Echo 1 0 0", "/probe.Probe/Hold 0 1 0"));
}

TEST_F(CallTrackerTest, DistinguishesEndedFromCutStreams) {
  Start(probe_);
  tracker_.CountByMethod(true);
  const auto channel = Connect();
  RawStream health(Connect(), kHealthWatch);  // Is not counted.
  EXPECT_NE(health.Ask(""), "");
  RawStream watch(Connect(), kWatch);
  watch.Ask("");
  const std::unique_ptr<grpc::ClientContext> context = Bounded();
  const auto chat = probe::Probe::NewStub(channel)->Chat(context.get());
  chat->WritesDone();
  Note note;
  while (chat->Read(&note)) continue;
  EXPECT_TRUE(chat->Finish().ok());
  EXPECT_TRUE(
      testkit::Eventually([&] { return tracker_.running() == 1 && tracker_.streams() == 1; }));
  EXPECT_THAT(Tally(), ElementsAre("/probe.Probe/Chat 1 0 0", "/probe.Probe/Watch 0 0 1"));
  tracker_.CancelAll();
  EXPECT_EQ(watch.AwaitEnd().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(
      testkit::Eventually([&] { return tracker_.running() == 0 && tracker_.streams() == 0; }));
  EXPECT_THAT(Tally(), ElementsAre("/probe.Probe/Chat 1 0 0", "/probe.Probe/Watch 0 1 0"));
  EXPECT_EQ(tracker_.TryTally().streams_ended, 1);
  EXPECT_EQ(tracker_.TryTally().streams_cut, 1);
}

// A caller may have its answer long before gRPC calls OnDone(), after which the call is released.
TEST_F(CallTrackerTest, CutsNoStreamWhoseStatusHasLeft) {
  class CancelsWhenDone final : public probe::Probe::CallbackService {
   public:
    explicit CancelsWhenDone(CallTracker& tracker) : tracker_(tracker) {}
    grpc::ServerBidiReactor<Note, Note>* Chat(grpc::CallbackServerContext* context) override {
      class Reactor final : public grpc::ServerBidiReactor<Note, Note> {
       public:
        explicit Reactor(CallTracker& tracker) : tracker_(tracker) {
          Finish(grpc::Status(grpc::NOT_FOUND, ""));
        }
        void OnDone() override {
          EXPECT_EQ(tracker_.streams(), 1);
          tracker_.CancelAll();
          delete this;
        }

       private:
        CallTracker& tracker_;
      };
      tracker_.SetStatus(static_cast<grpc::ServerContextBase*>(context), grpc::NOT_FOUND);
      return new Reactor(tracker_);
    }

   private:
    CallTracker& tracker_;
  } service(tracker_);
  Start(service);
  tracker_.CountByMethod(true);
  EXPECT_EQ(RawStream(Connect(), kChat).AwaitEnd().error_code(), grpc::NOT_FOUND);
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  EXPECT_THAT(Stats(), ElementsAre("/probe.Probe/Chat 5 1"));
  EXPECT_THAT(Tally(), ElementsAre("/probe.Probe/Chat 1 0 0"));
  EXPECT_EQ(tracker_.TryTally().streams_ended, 1);
  EXPECT_EQ(tracker_.TryTally().streams_cut, 0);
  TearDown();
}

TEST_F(CallTrackerTest, CountsSyncCallsByMethod) {
  Start(sync_probe_);
  tracker_.CountByMethod(true);
  RawStream watch(Connect(), kWatch);
  watch.Ask("");
  RawStream gone(Connect(), kWatch);
  gone.Ask("");
  EXPECT_TRUE(
      testkit::Eventually([&] { return tracker_.running() == 2 && tracker_.streams() == 2; }));
  EXPECT_THAT(Tally(), ElementsAre("/probe.Probe/Watch 0 0 2"));
  gone.Cancel();
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 1; }));
  tracker_.CancelAll();
  EXPECT_EQ(watch.AwaitEnd().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  EXPECT_THAT(Tally(), ElementsAre("/probe.Probe/Watch 1 1 0"));
}

TEST_F(CallTrackerTest, NamesNoMethodThatCallersInvent) {
  Start(probe_);
  tracker_.CountByMethod(true);
  const auto channel = Connect();
  for (int i = 0; i < 20; ++i) {
    RawStream(channel, "/probe.Probe/Method" + std::to_string(i)).AwaitEnd();
  }
  EXPECT_TRUE(
      testkit::Eventually([&] { return tracker_.running() == 0 && tracker_.streams() == 0; }));
  EXPECT_THAT(Tally(), ElementsAre(" 20 0 0"));
}

TEST_F(CallTrackerTest, CountsServicesNamedLikeGrpcsAsWork) {
  builder_.RegisterCallbackGenericService(&parrot_);
  Start();
  std::vector<std::unique_ptr<RawStream>> streams;
  for (const char* method : {"/grpc.examples.demo.Demo/Watch", "/grpc.health.v1.HealthAndSafety/Do",
                             "/grpc.health.v1/Health/Watch"}) {
    streams.push_back(std::make_unique<RawStream>(Connect(), method));
    EXPECT_EQ(streams.back()->Ask("pretty"), "pretty");
  }
  EXPECT_EQ(tracker_.running(), 3);
  EXPECT_EQ(tracker_.infrastructure(), 0);
}

TEST_F(CallTrackerTest, CountsCallsExactlyWhileHealthWatchesEnd) {
  Start(probe_);
  std::thread caller = Holder();
  ASSERT_TRUE(probe_.AwaitHeld(1));
  std::vector<std::unique_ptr<RawStream>> watches;
  for (int i = 0; i < 100; ++i) {
    watches.push_back(std::make_unique<RawStream>(Connect(), kHealthWatch));
    ASSERT_NE(watches.back()->Ask(""), "");
  }
  ASSERT_EQ(tracker_.infrastructure(), 100);
  std::atomic<bool> ended = false;
  int least = 1;
  int most = 1;
  std::thread looking([&] {
    while (!ended) {
      const int running = tracker_.running();
      least = std::min(least, running);
      most = std::max(most, running);
    }
  });
  for (const auto& watch : watches) watch->Cancel();
  for (const auto& watch : watches) watch->AwaitEnd();
  ended = true;
  looking.join();
  EXPECT_EQ(least, 1);
  EXPECT_EQ(most, 1);
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 1; }));
  probe_.Release();
  caller.join();
}

TEST_F(CallTrackerTest, CancelsWhileStreamsBeginAndEndByThemselves) {
  Start(probe_);
  std::atomic<int> ended = 0;
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&, channel = Connect()] {
      const auto stub = probe::Probe::NewStub(channel);
      for (int call = 0; call < 200; ++call, ++ended) {
        const auto context = Bounded();
        const auto chat = stub->Chat(context.get());
        Note note;
        chat->Write(note);
        if (call % 2 == 0) chat->Read(&note);
        if (call % 3 == 0) context->TryCancel();
        chat->WritesDone();
        while (chat->Read(&note)) continue;
        const grpc::StatusCode code = chat->Finish().error_code();
        EXPECT_TRUE(code == grpc::OK || code == grpc::CANCELLED) << code;
      }
    });
  }
  while (ended < 4 * 200) tracker_.CancelAll();
  for (std::thread& caller : callers) caller.join();
  EXPECT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
}

}  // namespace
}  // namespace rpc
