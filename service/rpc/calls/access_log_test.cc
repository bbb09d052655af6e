#include "service/rpc/calls/access_log.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/generic/async_generic_service.h"
#include "grpcpp/generic/generic_stub.h"
#include "grpcpp/support/byte_buffer.h"
#include "grpcpp/support/slice.h"
#include "gtest/gtest.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/backend.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/calls/authorization.h"
#include "service/rpc/calls/trace.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/grpc_version.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/raw_peer.h"
#include "service/rpc/unary.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using probe::Note;
using probe::Probe;
using testing::AllOf;
using testing::Each;
using testing::ElementsAre;
using testing::EndsWith;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kSpan = "00f067aa0ba902b7";
const std::string kTraceparent = "00-" + kTrace + "-" + kSpan + "-01";

// For who does not own it: the test does.
template <typename Type>
std::shared_ptr<Type> Shared(Type& object) {
  return {std::shared_ptr<void>(), &object};
}

// A server whose calls are logged.
class Logged {
 public:
  Logged(AccessLog& log, grpc::Service& service, ServerHost::Options options = {})
      : host_(With(log, std::move(options)), {Shared(service)}, goodbye_) {
    EXPECT_TRUE(host_.Start().ok());
    EXPECT_TRUE(host_.Open().ok());
  }
  ~Logged() { End(); }

  // Cancels what runs.
  void End() {
    if (std::exchange(ended_, true)) return;
    host_.CloseListener();
    host_.BeginShutdown();
    lifecycle::Patience patience(lifecycle::Clock::Steady(), testkit::kLong, {});
    EXPECT_TRUE(host_.Cancel(patience));
  }

  // A call is logged, and answered, a little before it has ended.
  bool AwaitNoCalls() {
    return testkit::Eventually([this] { return host_.TryCallsRunning() == 0; });
  }

  std::string address() const { return host_.address(); }

 private:
  static ServerHost::Options With(AccessLog& log, ServerHost::Options options) {
    options.access_log = Shared(log);
    return options;
  }

  GoodbyeSignal goodbye_;
  ServerHost host_;
  bool ended_ = false;
};

class AccessLogTest : public testing::Test {
 protected:
  AccessLogTest() { Receive(log_); }

  void Receive(AccessLog& log) {
    log.LogTo(
        [this](const EndedCall& call) {
          std::lock_guard lock(mutex_);
          calls_.push_back(call);
        },
        [this](const std::string& line) {
          std::lock_guard lock(mutex_);
          skipped_.push_back(line);
        });
  }

  std::vector<EndedCall> AwaitCalls(std::size_t count) {
    const auto calls = [this] {
      std::lock_guard lock(mutex_);
      return calls_;
    };
    EXPECT_TRUE(testkit::Eventually([&] { return calls().size() >= count; }));
    return calls();
  }

  std::vector<std::string> Methods() {
    std::lock_guard lock(mutex_);
    std::vector<std::string> methods;
    for (const EndedCall& call : calls_) methods.push_back(call.method);
    return methods;
  }

  static grpc::StatusCode Echo(const std::string& address,
                               const std::vector<std::pair<std::string, std::string>>& metadata) {
    const auto context = Bounded();
    for (const auto& [name, value] : metadata) context->AddMetadata(name, value);
    Note note;
    return Probe::NewStub(NewConnection(address))->Echo(context.get(), note, &note).error_code();
  }

  std::mutex mutex_;
  std::vector<EndedCall> calls_;      // Guarded by mutex_.
  std::vector<std::string> skipped_;  // Guarded by mutex_.
  AccessLog log_{1000};
  ProbeService probe_;
};

TEST_F(AccessLogTest, RecordsACallAndHowItEnded) {
  Logged server(log_, probe_);
  const auto before = std::chrono::system_clock::now();
  EXPECT_EQ(Echo(server.address(), {{"traceparent", kTraceparent}, {"x-request-id", "42"}}),
            grpc::StatusCode::OK);
  const EndedCall call = AwaitCalls(1).front();
  EXPECT_EQ(call.method, "/probe.Probe/Echo");
  EXPECT_EQ(call.code, grpc::StatusCode::OK);
  EXPECT_THAT(call.peer, StartsWith("ipv4:127.0.0.1:"));
  EXPECT_EQ(call.request_id, "42");
  EXPECT_EQ(call.trace.TraceId(), kTrace);
  EXPECT_EQ(call.trace.ParentSpanId(), kSpan);
  EXPECT_GE(call.started, before);
  EXPECT_GT(call.duration.count(), 0);
}

TEST_F(AccessLogTest, TellsOfStreamsAndOfWhatIsRefused) {
  Logged server(log_, probe_);
  const auto channel = NewConnection(server.address());
  {
    RawStream watch(channel, "/probe.Probe/Watch");
    watch.Ask("");
    watch.Cancel();
    watch.AwaitEnd();
  }
  EXPECT_EQ(AwaitCalls(1).front().method, "/probe.Probe/Watch");
  EXPECT_EQ(AwaitCalls(1).front().code, grpc::StatusCode::CANCELLED);
  RawStream garbage(channel, "/probe.Probe/Echo");
  garbage.Ask("\n\xFF");
  EXPECT_EQ(garbage.AwaitEnd().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_EQ(AwaitCalls(2).back().code, grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(AccessLogTest, BeginsATraceWithoutAValidOne) {
  Logged server(log_, probe_);
  std::size_t calls = 2;
  Echo(server.address(), {});
  Echo(server.address(), {{"traceparent", "00-x"}});
  if (kGetsBothTraces) {
    ++calls;
    Echo(server.address(), {{"traceparent", kTraceparent}, {"traceparent", kTraceparent}});
  }
  for (const EndedCall& call : AwaitCalls(calls)) {
    EXPECT_EQ(call.trace.ParentSpanId(), "");
    EXPECT_NE(call.trace.TraceId(), kTrace);
    EXPECT_THAT(call.trace.TraceId(), SizeIs(32));
  }
}

const std::string kSkipped = "did not log a call: there were more than --access_log_per_second: ";

TEST_F(AccessLogTest, LimitsLinesASecondAndCountsOthers) {
  AccessLog log(2);
  Receive(log);
  const auto call_at = [&log,
                        now = lifecycle::Clock::Steady().Now()](std::chrono::milliseconds at) {
    if (!log.Admits(now + at)) return;
    log.Log({.method = "/at/" + std::to_string(at.count())});
  };
  for (const int at : {0, 1, 998, 999, 999}) call_at(std::chrono::milliseconds(at));
  EXPECT_EQ(log.skipped().total(), 3);
  EXPECT_THAT(skipped_, ElementsAre(kSkipped + "1 time in the last minute"));
  call_at(std::chrono::seconds(1));
  EXPECT_THAT(Methods(), ElementsAre("/at/0", "/at/1", "/at/1000"));
}

// "METHOD CODE" of each call, in order of their names.
std::vector<std::string> Codes(const std::vector<EndedCall>& calls) {
  std::vector<std::string> codes;
  for (const EndedCall& call : calls) codes.push_back(call.method + " " + CodeName(call.code));
  std::sort(codes.begin(), codes.end());
  return codes;
}

grpc::Status CallRaw(const std::shared_ptr<grpc::Channel>& channel, const std::string& method,
                     const std::string& bytes = "") {
  const std::unique_ptr<grpc::ClientContext> context = Bounded();
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  std::promise<grpc::Status> ended;
  grpc::GenericStub(channel).UnaryCall(
      context.get(), method, {}, &request, &response,
      [&ended](grpc::Status status) { ended.set_value(std::move(status)); });
  return ended.get_future().get();
}

// A service whose every method ends its call in another way.
class Endings final : public Probe::CallbackService {
 public:
  // By the harness; with the text of the request for a code.
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note* request,
                                 Note* response) override {
    return AnswerNow(context, [=] {
      if (request->text() == "throw") throw std::runtime_error("out of luck");
      if (request->text() == "missing") return absl::NotFoundError("no note");
      *response = *request;
      return absl::OkStatus();
    });
  }
  // At once, by itself.
  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext* context, const Note*,
                                 Note*) override {
    auto* const reactor = context->DefaultReactor();
    reactor->Finish({grpc::StatusCode::ABORTED, "by itself"});
    return reactor;
  }
  // Gather and Watch are not there; Chat throws.
  grpc::ServerBidiReactor<Note, Note>* Chat(grpc::CallbackServerContext*) override { throw 42; }
};

TEST_F(AccessLogTest, LogsEachCallOnceWithItsCode) {
  if (UndefinedBehaviourIsWatched()) GTEST_SKIP() << "gRPC's header would be objected to";
  Endings service;
  {
    Logged server(log_, service);
    const auto channel = NewConnection(server.address());
    const auto text = [](const std::string& words) {
      Note note;
      note.set_text(words);
      return note.SerializeAsString();
    };
    // Twice: what is learned from the first one is used for the second.
    for (int i = 0; i < 2; ++i) {
      for (const char* words : {"", "throw", "missing"}) {
        CallRaw(channel, "/probe.Probe/Echo", text(words));
      }
      CallRaw(channel, "/probe.Probe/Echo", "\n\xFF");
      for (const char* method : {"Hold", "Gather", "Watch", "Chat"}) {
        CallRaw(channel, std::string("/probe.Probe/") + method);
      }
      CallRaw(channel, "/grpc.health.v1.Health/Check");
      CallRaw(channel, "/grpc.health.v1.Health/Check", "\n\1?");
    }
    AwaitCalls(20);  // One that has been answered may not have ended yet, and would be cancelled.
  }
  EXPECT_THAT(
      Codes(AwaitCalls(20)),
      ElementsAre("/grpc.health.v1.Health/Check NOT_FOUND",
                  "/grpc.health.v1.Health/Check NOT_FOUND", "/grpc.health.v1.Health/Check OK",
                  "/grpc.health.v1.Health/Check OK", "/probe.Probe/Chat INTERNAL",
                  "/probe.Probe/Chat INTERNAL", "/probe.Probe/Echo INTERNAL",
                  "/probe.Probe/Echo INTERNAL", "/probe.Probe/Echo INVALID_ARGUMENT",
                  "/probe.Probe/Echo INVALID_ARGUMENT", "/probe.Probe/Echo NOT_FOUND",
                  "/probe.Probe/Echo NOT_FOUND", "/probe.Probe/Echo OK", "/probe.Probe/Echo OK",
                  "/probe.Probe/Gather UNIMPLEMENTED", "/probe.Probe/Gather UNIMPLEMENTED",
                  "/probe.Probe/Hold ABORTED", "/probe.Probe/Hold ABORTED",
                  "/probe.Probe/Watch UNIMPLEMENTED", "/probe.Probe/Watch UNIMPLEMENTED"));
}

// Hold ends by itself: in its handler if the request says "now", else once that has returned, as
// gRPC sends nothing before.
class EndsNowOrLater final : public Probe::CallbackService {
 public:
  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext* context, const Note* request,
                                 Note*) override {
    if (request->text() == "now") {
      auto* const reactor = context->DefaultReactor();
      reactor->Finish(grpc::Status::OK);
      return reactor;
    }
    class Later final : public grpc::ServerUnaryReactor {
     public:
      Later() { StartSendInitialMetadata(); }
      void OnSendInitialMetadataDone(bool) override { Finish(grpc::Status::OK); }
      void OnDone() override { delete this; }
    };
    return new Later;
  }
};

TEST_F(AccessLogTest, SeesTheCodeOfACallWhoseHandlerEndsItLater) {
  EndsNowOrLater service;
  Logged server(log_, service);
  const auto channel = NewConnection(server.address());
  for (int i = 0; i < 2; ++i) {
    EXPECT_TRUE(CallRaw(channel, "/probe.Probe/Hold").ok());
  }
  EXPECT_THAT(Codes(AwaitCalls(2)), ElementsAre("/probe.Probe/Hold OK", "/probe.Probe/Hold OK"));
}

// Its harness has reported the first one, so that nobody looks at the next.
TEST_F(AccessLogTest, NoticesAMethodThatEndsOnlySomeCallsLater) {
  EndsNowOrLater service;
  Logged server(log_, service);
  const auto channel = NewConnection(server.address());
  Note now;
  now.set_text("now");
  CallRaw(channel, "/probe.Probe/Hold", now.SerializeAsString());
  AwaitCalls(1);
  CallRaw(channel, "/probe.Probe/Hold");
  AwaitCalls(2);
  for (int i = 0; i < 2; ++i) {
    CallRaw(channel, "/probe.Probe/Hold");
    CallRaw(channel, "/probe.Probe/Hold", now.SerializeAsString());
  }
  EXPECT_THAT(
      Codes(AwaitCalls(6)),
      ElementsAre("/probe.Probe/Hold OK", "/probe.Probe/Hold OK", "/probe.Probe/Hold OK",
                  "/probe.Probe/Hold OK", "/probe.Probe/Hold OK", "/probe.Probe/Hold UNKNOWN"));
}

TEST_F(AccessLogTest, LogsACallThatItsCallerHasGivenUp) {
  Logged server(log_, probe_);
  const auto channel = NewConnection(server.address());
  RawStream held(channel, "/probe.Probe/Hold");
  std::jthread asks([&held] { held.Ask(""); });
  ASSERT_TRUE(probe_.AwaitHeld(1));
  held.Cancel();
  const std::vector<EndedCall> calls = AwaitCalls(1);
  ASSERT_THAT(Codes(calls), ElementsAre("/probe.Probe/Hold CANCELLED"));
  EXPECT_THAT(calls.front().peer, StartsWith("ipv4:127.0.0.1:"));
}

TEST_F(AccessLogTest, LogsWhoseDeadlineWasOver) {
  Logged server(log_, probe_);
  RawPeer caller(server.address());  // Does not cancel it.
  caller.SendMessage(caller.Open("/probe.Probe/Hold", {{"grpc-timeout", "1S"}}), "");
  ASSERT_TRUE(probe_.AwaitHeld(1)) << "it began too late";
  const std::vector<EndedCall> calls = AwaitCalls(1);
  ASSERT_THAT(Codes(calls), ElementsAre("/probe.Probe/Hold DEADLINE_EXCEEDED"));
  EXPECT_THAT(calls.front().peer, StartsWith("ipv4:127.0.0.1:"));
}

TEST_F(AccessLogTest, LogsCallsThatAreRefused) {
  if (UndefinedBehaviourIsWatched()) GTEST_SKIP() << "gRPC's header would be objected to";
  auto policy = Authorization::Parse(
      "/probe.Probe/Echo everyone\n/probe.Probe/Hold everyone\n/probe.Probe/Chat uri:a");
  ASSERT_TRUE(policy.ok());
  Logged server(log_, probe_, {.limits = {.max_calls_in_flight = 1}, .authorization = *policy});
  const auto channel = NewConnection(server.address());
  CallRaw(channel, "/probe.Probe/Chat");
  ASSERT_TRUE(server.AwaitNoCalls());
  RawStream first(channel, "/probe.Probe/Hold");
  std::jthread asks([&first] { first.Ask(""); });
  ASSERT_TRUE(probe_.AwaitHeld(1));
  CallRaw(channel, "/probe.Probe/Echo");
  probe_.Release();
  asks.join();
  EXPECT_THAT(Codes(AwaitCalls(3)),
              ElementsAre("/probe.Probe/Chat UNAUTHENTICATED",
                          "/probe.Probe/Echo RESOURCE_EXHAUSTED", "/probe.Probe/Hold OK"));
}

// Tells of which trace its calls are.
class Traced {
 public:
  void See() {
    const std::optional<Trace> trace = Trace::Current();
    std::lock_guard lock(mutex_);
    seen_.push_back(trace ? trace->Traceparent() : "none");
  }
  std::vector<std::string> seen() const {
    std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> seen_;  // Guarded by mutex_.
};

class TracedSync final : public Probe::Service, public Traced {
  grpc::Status Echo(grpc::ServerContext*, const Note*, Note*) override {
    See();
    return {grpc::StatusCode::ALREADY_EXISTS, "a note"};
  }
};

class TracedGeneric final : public grpc::CallbackGenericService, public Traced {
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext*) override {
    See();
    class Ends final : public grpc::ServerGenericBidiReactor {
     public:
      Ends() { Finish({grpc::StatusCode::DATA_LOSS, "all gone"}); }
      void OnDone() override { delete this; }
    };
    return new Ends;
  }
};

class TracedCallback final : public Probe::CallbackService, public Traced {
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note*,
                                 Note*) override {
    See();
    auto* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

TEST_F(AccessLogTest, LogsAndTracesSynchronousCalls) {
  TracedSync service;
  Logged server(log_, service);
  EXPECT_EQ(Echo(server.address(), {}), grpc::StatusCode::ALREADY_EXISTS);
  const EndedCall call = AwaitCalls(1).front();
  EXPECT_EQ(call.code, grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_THAT(call.peer, StartsWith("ipv4:127.0.0.1:"));
  EXPECT_THAT(service.seen(), ElementsAre(call.trace.Traceparent()));
}

TEST_F(AccessLogTest, LogsAndTracesCallsOfGenericServices) {
  TracedGeneric generic;
  Logged server(log_, probe_, {.prepare = [&generic](grpc::ServerBuilder& builder) {
                  builder.RegisterCallbackGenericService(&generic);
                }});
  CallRaw(NewConnection(server.address()), "/made.up/Name");
  const EndedCall call = AwaitCalls(1).front();
  EXPECT_EQ(call.method, "/made.up/Name");
  EXPECT_EQ(call.code, grpc::StatusCode::DATA_LOSS);
  EXPECT_THAT(generic.seen(), ElementsAre(call.trace.Traceparent()));
}

TEST_F(AccessLogTest, ACallThatIsNotLoggedHasATrace) {
  AccessLog log(0);
  Receive(log);
  TracedCallback service;
  Logged server(log, service);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Echo(server.address(), {}), grpc::StatusCode::OK);
  ASSERT_TRUE(testkit::Eventually([&log] { return log.skipped().total() == 3; }));
  EXPECT_THAT(AwaitCalls(0), IsEmpty());
  EXPECT_THAT(service.seen(), SizeIs(3));
  EXPECT_THAT(service.seen(), Each(StartsWith("00-")));
}

TEST_F(AccessLogTest, AServerThatIsGoneHasLoggedAllItsCalls) {
  {
    Logged server(log_, probe_);
    std::jthread caller(
        [channel = NewConnection(server.address())] { CallRaw(channel, "/probe.Probe/Hold"); });
    ASSERT_TRUE(probe_.AwaitHeld(1));
    RawStream watch(NewConnection(server.address()), "/probe.Probe/Watch");
    EXPECT_NE(watch.Ask("\n\1x"), "");
    server.End();
  }
  std::lock_guard lock(mutex_);
  EXPECT_THAT(Codes(calls_),
              ElementsAre("/probe.Probe/Hold CANCELLED", "/probe.Probe/Watch CANCELLED"));
}

TEST_F(AccessLogTest, AServerThatIsGoneHasToldWhatItSkipped) {
  AccessLog log(0);
  Receive(log);
  Logged server(log, probe_);
  EXPECT_EQ(Echo(server.address(), {}), grpc::StatusCode::OK);
  ASSERT_TRUE(testkit::Eventually([&log] { return log.skipped().total() == 1; }));
  std::jthread caller(
      [channel = NewConnection(server.address())] { CallRaw(channel, "/probe.Probe/Hold"); });
  ASSERT_TRUE(probe_.AwaitHeld(1));
  server.End();
  std::lock_guard lock(mutex_);
  EXPECT_THAT(skipped_, ElementsAre(kSkipped + "1 time in the last minute",
                                    kSkipped + "1 time in the last minute"));
}

TEST_F(AccessLogTest, MayGetAnotherReceiverWhileCallsEnd) {
  TracedCallback service;
  Logged server(log_, service);
  std::jthread changes([this](const std::stop_token& over) {
    while (!over.stop_requested()) Receive(log_);
  });
  const auto channel = NewConnection(server.address());
  for (int i = 0; i < 200; ++i) CallRaw(channel, "/probe.Probe/Echo");
  EXPECT_THAT(AwaitCalls(200), SizeIs(200));
}

// What a handler sees of its trace, at once, in a pool, and when a backend has answered; it calls
// the backend in between.
class Front final : public Probe::CallbackService {
 public:
  explicit Front(const std::string& backend)
      : backend_({.target = backend, .timeout = testkit::kLong}, [](const std::string&) {}) {}

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note* request,
                                 Note* response) override {
    return AnswerLater(context, response, [=, this](const auto& answer) {
      See();
      backend_.Call(&Probe::Stub::async::Echo, *context, *request,
                    [this, answer](absl::StatusOr<Note> answered) {
                      See();
                      answer(std::move(answered));
                    });
    });
  }

  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext* context, const Note*,
                                 Note*) override {
    return AnswerFromPool(pool_, context, [this] {
      See();
      return absl::OkStatus();
    });
  }

  absl::Status Close() { return backend_.Close(testkit::Soon()); }
  std::vector<std::string> seen() const {
    std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  void See() {
    const auto trace = Trace::Current();
    std::lock_guard lock(mutex_);
    seen_.push_back(trace ? trace->Traceparent() : "none");
  }

  mutable std::mutex mutex_;
  std::vector<std::string> seen_;  // One after the other.
  Backend<Probe> backend_;
  BlockingPool pool_{1, 10, [](const absl::Status&) {}};
};

TEST_F(AccessLogTest, TheTraceFollowsWorkAndReachesBackends) {
  Logged back(log_, probe_);
  Front front(back.address());
  {
    Logged server(log_, front);
    EXPECT_EQ(Echo(server.address(), {{"traceparent", kTraceparent}, {"tracestate", "a=b"}}),
              grpc::StatusCode::OK);
    const std::vector<EndedCall> calls = AwaitCalls(2);
    const EndedCall& first = calls[0].trace.ParentSpanId() == kSpan ? calls[0] : calls[1];
    const EndedCall& second = calls[0].trace.ParentSpanId() == kSpan ? calls[1] : calls[0];
    EXPECT_EQ(first.trace.ParentSpanId(), kSpan);
    EXPECT_EQ(second.trace.ParentSpanId(), first.trace.SpanId());
    EXPECT_EQ(second.trace.TraceId(), kTrace);
    EXPECT_THAT(front.seen(), ElementsAre(first.trace.Traceparent(), first.trace.Traceparent()));

    const auto context = Bounded();
    context->AddMetadata("traceparent", kTraceparent);
    Note note;
    EXPECT_TRUE(
        Probe::NewStub(NewConnection(server.address()))->Hold(context.get(), note, &note).ok());
    const EndedCall third = AwaitCalls(3).back();
    EXPECT_EQ(front.seen().back(), third.trace.Traceparent());
  }
  EXPECT_TRUE(front.Close().ok());
}

TEST_F(AccessLogTest, WithoutOneTheCallersTraceIsForwarded) {
  Logged back(log_, probe_);
  Front front(back.address());
  {
    GoodbyeSignal goodbye;
    ServerHost host({}, {Shared(front)}, goodbye);
    ASSERT_TRUE(host.Start().ok());
    ASSERT_TRUE(host.Open().ok());
    EXPECT_EQ(Echo(host.address(), {{"traceparent", kTraceparent}}), grpc::StatusCode::OK);
    AwaitCalls(1);  // It is logged once its caller has the answer.
    // Nobody can pretend to be our own.
    EXPECT_EQ(Echo(host.address(), {{"span", kTraceparent}}), grpc::StatusCode::OK);
    host.CloseListener();
  }
  const std::vector<EndedCall> calls = AwaitCalls(2);
  EXPECT_EQ(calls[0].trace.ParentSpanId(), kSpan);
  EXPECT_EQ(calls[1].trace.ParentSpanId(), "");
  EXPECT_THAT(front.seen(), ElementsAre("none", "none", "none", "none"));
  EXPECT_TRUE(front.Close().ok());
}

// What a backend is told of the trace: "TRACEPARENT TRACESTATE" of each call.
class Heard final : public Probe::CallbackService {
 public:
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note*,
                                 Note*) override {
    {
      std::lock_guard lock(mutex_);
      calls_.push_back(std::string(MetadataOf(*context, "traceparent").only()) + " " +
                       std::string(MetadataOf(*context, "tracestate").only()));
    }
    auto* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  std::vector<std::string> calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> calls_;  // One after the other.
};

TEST_F(AccessLogTest, TheStateOfATraceGoesNoFartherThanTheTrace) {
  Heard heard;
  Logged back(log_, heard);
  Front front(back.address());
  {
    Logged server(log_, front);
    const auto echo = [&server](const std::string& traceparent) {
      EXPECT_EQ(Echo(server.address(), {{"traceparent", traceparent}, {"tracestate", "a=b"}}),
                grpc::StatusCode::OK);
    };
    echo(kTraceparent);
    echo("00-4BF92F3577B34DA6A3CE929D0E0E4736-" + kSpan + "-01");
    EXPECT_EQ(Echo(server.address(), {{"tracestate", "a=b"}}), grpc::StatusCode::OK);
  }
  EXPECT_THAT(heard.calls(), ElementsAre(AllOf(StartsWith("00-" + kTrace), EndsWith("-01 a=b")),
                                         AllOf(StartsWith("00-"), EndsWith("-01 ")),
                                         AllOf(StartsWith("00-"), EndsWith("-01 "))));
  EXPECT_TRUE(front.Close().ok());
}

// gRPC receives such headers, and ends the process of who sends them.
TEST_F(AccessLogTest, WhatGrpcDoesNotSendIsNotPassedOn) {
  Heard heard;
  Logged back(log_, heard);
  Front front(back.address());
  const auto call = [](const std::string& address,
                       const std::map<std::string, std::string>& headers) {
    RawPeer caller(address);
    const std::uint32_t stream = caller.Open("/probe.Probe/Echo", headers);
    caller.SendMessage(stream, "");
    return caller.AwaitAnswer(stream);
  };
  {
    Logged server(log_, front);
    for (const char* state : {"a=\t1", "a=\x80"}) {
      EXPECT_TRUE(call(server.address(), {{"traceparent", kTraceparent}, {"tracestate", state}}));
    }
  }
  {
    GoodbyeSignal goodbye;
    ServerHost unlogged({}, {Shared(front)}, goodbye);
    ASSERT_TRUE(unlogged.Start().ok());
    ASSERT_TRUE(unlogged.Open().ok());
    EXPECT_TRUE(call(unlogged.address(), {{"traceparent", kTraceparent}, {"tracestate", "a=\t1"}}));
    EXPECT_TRUE(
        call(unlogged.address(),
             {{"traceparent", "cc" + kTraceparent.substr(2, kTraceparent.size() - 4) + "ff-\x80"},
              {"tracestate", "a=1"}}));
    unlogged.CloseListener();
  }
  EXPECT_THAT(heard.calls(), ElementsAre(AllOf(StartsWith("00-" + kTrace), EndsWith("-01 ")),
                                         AllOf(StartsWith("00-" + kTrace), EndsWith("-01 ")),
                                         kTraceparent + " ", kTraceparent + " a=1"));
  EXPECT_TRUE(front.Close().ok());
}

}  // namespace
}  // namespace rpc
