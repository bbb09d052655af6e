#include "service/rpc/access_log.h"

#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/rpc/backend.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/trace.h"
#include "service/rpc/unary.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using probe::Note;
using probe::Probe;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using testing::StartsWith;

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kSpan = "00f067aa0ba902b7";
const std::string kTraceparent = "00-" + kTrace + "-" + kSpan + "-01";

// A server whose calls are logged.
class Logged {
 public:
  Logged(AccessLog& log, grpc::Service& service)
      : host_({.interceptors =
                   [&log] {
                     ServerHost::InterceptorFactories all;
                     all.push_back(log.NewInterceptors());
                     return all;
                   }},
              {&service}, goodbye_) {
    EXPECT_TRUE(host_.Start().ok());
    EXPECT_TRUE(host_.OpenListener().ok());
  }
  ~Logged() { host_.CloseListener(); }

  std::string address() const { return host_.address(); }

 private:
  GoodbyeSignal goodbye_;
  ServerHost host_;
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
        [this](std::int64_t calls) {
          std::lock_guard lock(mutex_);
          skipped_.push_back(calls);
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

  static grpc::StatusCode Echo(const std::string& address,
                               const std::vector<std::pair<std::string, std::string>>& metadata) {
    const auto context = Bounded();
    for (const auto& [name, value] : metadata) context->AddMetadata(name, value);
    Note note;
    return Probe::NewStub(NewConnection(address))->Echo(context.get(), note, &note).error_code();
  }

  std::mutex mutex_;
  std::vector<EndedCall> calls_;       // Guarded by mutex_.
  std::vector<std::int64_t> skipped_;  // Guarded by mutex_.
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
  EXPECT_EQ(call.trace.trace_id, kTrace);
  EXPECT_EQ(call.trace.parent_span_id, kSpan);
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
  Echo(server.address(), {});
  Echo(server.address(), {{"traceparent", "00-x"}});
  Echo(server.address(), {{"traceparent", kTraceparent}, {"traceparent", kTraceparent}});
  for (const EndedCall& call : AwaitCalls(3)) {
    EXPECT_EQ(call.trace.parent_span_id, "");
    EXPECT_NE(call.trace.trace_id, kTrace);
    EXPECT_THAT(call.trace.trace_id, SizeIs(32));
  }
}

TEST_F(AccessLogTest, LimitsLinesASecondAndCountsOthers) {
  lifecycle::FakeClock clock;
  AccessLog log(2, clock);
  Receive(log);
  Logged server(log, probe_);
  for (int i = 0; i < 5; ++i) Echo(server.address(), {});
  ASSERT_TRUE(testkit::Eventually([&log] { return log.skipped() == 3; }));
  EXPECT_THAT(AwaitCalls(2), SizeIs(2));
  EXPECT_THAT(skipped_, IsEmpty());
  clock.Advance(std::chrono::seconds(1));
  Echo(server.address(), {});
  EXPECT_THAT(AwaitCalls(3), SizeIs(3));
  EXPECT_THAT(skipped_, ElementsAre(3));
}

// What a handler sees of its trace, at once, in a pool, and when a backend has answered; it calls
// the backend in between.
class Front final : public Probe::CallbackService {
 public:
  explicit Front(const std::string& backend)
      : backend_({.target = backend, .timeout = testkit::kLong}, [](const std::string&) {}) {}

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note* request,
                                 Note* response) override {
    return AnswerLater(context, request, response,
                       [this](const Note& note, const Call& call, const Answer<Note>& answer) {
                         See();
                         backend_.Call(&Probe::Stub::async::Echo, call, note,
                                       [this, answer](absl::StatusOr<Note> answered) {
                                         See();
                                         answer(std::move(answered));
                                       });
                       });
  }

  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext* context, const Note* request,
                                 Note* response) override {
    return AnswerFromPool(pool_, context, request, response, [this](const Note&, const Call&) {
      See();
      return absl::StatusOr<Note>(Note());
    });
  }

  absl::Status Close() { return backend_.Close(lifecycle::Clock::Steady().Now() + testkit::kLong); }
  std::vector<std::string> seen() const {
    std::lock_guard lock(mutex_);
    return seen_;
  }

 private:
  void See() {
    const auto trace = Trace::Current();
    std::lock_guard lock(mutex_);
    seen_.push_back(trace == nullptr ? "none" : trace->Traceparent());
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
    const EndedCall& first = calls[0].trace.parent_span_id == kSpan ? calls[0] : calls[1];
    const EndedCall& second = calls[0].trace.parent_span_id == kSpan ? calls[1] : calls[0];
    EXPECT_EQ(first.trace.parent_span_id, kSpan);
    EXPECT_EQ(second.trace.parent_span_id, first.trace.span_id);
    EXPECT_EQ(second.trace.trace_id, kTrace);
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
    ServerHost host({}, {&front}, goodbye);
    ASSERT_TRUE(host.Start().ok());
    ASSERT_TRUE(host.OpenListener().ok());
    EXPECT_EQ(Echo(host.address(), {{"traceparent", kTraceparent}}), grpc::StatusCode::OK);
    // Nobody can pretend to be our own.
    EXPECT_EQ(Echo(host.address(), {{"span", kTraceparent}}), grpc::StatusCode::OK);
    host.CloseListener();
  }
  const std::vector<EndedCall> calls = AwaitCalls(2);
  EXPECT_EQ(calls[0].trace.parent_span_id, kSpan);
  EXPECT_EQ(calls[1].trace.parent_span_id, "");
  EXPECT_THAT(front.seen(), ElementsAre("none", "none", "none", "none"));
  EXPECT_TRUE(front.Close().ok());
}

}  // namespace
}  // namespace rpc
