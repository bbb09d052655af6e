#include "service/rpc/calls/call_deadlines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/backend_channel.h"
#include "service/rpc/calls/call_tracker.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/unary.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using ::probe::Note;
using ::probe::Probe;
using ::std::chrono::hours;
using ::std::chrono::milliseconds;
using ::std::chrono::system_clock;
using ::testing::HasSubstr;

constexpr milliseconds kHour = hours(1);
constexpr milliseconds kShort{30};

// The time that a call has left, as its handler sees it; never: the longest there is.
milliseconds Left(system_clock::time_point deadline) {
  if (deadline == system_clock::time_point::max()) return milliseconds::max();
  return std::chrono::duration_cast<milliseconds>(deadline - system_clock::now());
}

// Echo tells how long it may take; the rest waits for its end.
class Service final : public Probe::CallbackService {
 public:
  ProbeService probe;
  std::atomic<milliseconds> left{milliseconds(0)};
  std::atomic<milliseconds> backends{milliseconds(0)};  // What a backend would be given.

  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note* request,
                                 Note* response) override {
    return AnswerNow(context, [=, this] {
      left = Left(context->deadline());
      backends = Left(backend_.NewContext(*context)->deadline());
      *response = *request;
      return absl::OkStatus();
    });
  }
  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext* context, const Note* request,
                                 Note* response) override {
    return probe.Hold(context, request, response);
  }
  grpc::ServerWriteReactor<Note>* Watch(grpc::CallbackServerContext* context,
                                        const Note* request) override {
    left = Left(context->deadline());
    return probe.Watch(context, request);
  }

 private:
  const BackendChannel backend_{
      {.target = "127.0.0.1:1", .service = "probe.Probe", .timeout = 24 * kHour}};
};

class SyncService final : public Probe::Service {
  grpc::Status Hold(grpc::ServerContext* context, const Note*, Note*) override {
    EXPECT_TRUE(testkit::Eventually([&] { return context->IsCancelled(); }));
    return grpc::Status::OK;
  }
};

class CallDeadlinesTest : public ::testing::Test {
 protected:
  void Start(CallDeadlines::Limits limits, grpc::Service& service) {
    deadlines_ = std::make_unique<CallDeadlines>(limits, [this](const std::string& line) {
      std::lock_guard lock(mutex_);
      line_ = line;
    });
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    tracker_.Install(builder, {}, deadlines_.get());
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
    channel_ = NewConnection(address_);
  }
  void Start(CallDeadlines::Limits limits) { Start(limits, service_); }

  void TearDown() override {
    server_->Shutdown(system_clock::now());
    server_.reset();
  }

  // `timeout`: the caller's; 0: none.
  grpc::Status Ask(const std::string& method, milliseconds timeout) {
    grpc::ClientContext context;
    if (timeout.count() > 0) context.set_deadline(system_clock::now() + timeout);
    Note note;
    const auto stub = Probe::NewStub(channel_);
    return method == "Echo" ? stub->Echo(&context, note, &note) : stub->Hold(&context, note, &note);
  }
  milliseconds LeftWith(milliseconds timeout) {
    EXPECT_TRUE(Ask("Echo", timeout).ok());
    return service_.left;
  }

  std::mutex mutex_;
  std::string line_;  // Guarded by mutex_.
  Service service_;
  SyncService sync_service_;
  std::unique_ptr<CallDeadlines> deadlines_;
  CallTracker tracker_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(CallDeadlinesTest, ShortensLaterDeadlinesAndSetsMissingOnes) {
  Start({.max = kHour});
  EXPECT_LE(LeftWith(2 * kHour), kHour);
  EXPECT_LE(LeftWith(milliseconds(0)), kHour);
  EXPECT_LE(LeftWith(kHour / 2), kHour * 3 / 4) << "an earlier one stays";
}

TEST_F(CallDeadlinesTest, HasAnOwnLimitForMissingDeadlines) {
  Start({.max = 4 * kHour, .when_unset = kHour});
  EXPECT_LE(LeftWith(milliseconds(0)), kHour);
  EXPECT_GT(LeftWith(3 * kHour), 2 * kHour);
}

TEST_F(CallDeadlinesTest, TakesTheLongestLimitForNone) {
  Start({.max = milliseconds::max(), .when_unset = milliseconds::max()});
  EXPECT_GT(LeftWith(3 * kHour), 2 * kHour);
  EXPECT_GT(LeftWith(milliseconds(0)), kHour);
  auto held = std::async(std::launch::async, [&] { return Ask("Hold", milliseconds(0)); });
  ASSERT_TRUE(service_.probe.AwaitHeld(1));
  EXPECT_EQ(Ask("Hold", 10 * kShort).error_code(), grpc::DEADLINE_EXCEEDED) << "its caller's own";
  service_.probe.Release();
  EXPECT_TRUE(held.get().ok());
  EXPECT_EQ(deadlines_->ended(), 0);
}

TEST_F(CallDeadlinesTest, LeavesDeadlinesAloneThatCallersSet) {
  Start({.when_unset = kHour});
  EXPECT_GT(LeftWith(3 * kHour), 2 * kHour);
}

TEST_F(CallDeadlinesTest, GoesOnToBackends) {
  Start({.max = kHour});
  LeftWith(2 * kHour);
  EXPECT_LE(service_.backends.load(), kHour);
}

TEST_F(CallDeadlinesTest, EndsACallWhoseCallerWaitsForEver) {
  Start({.max = kShort});
  EXPECT_EQ(Ask("Hold", milliseconds(0)).error_code(), grpc::DEADLINE_EXCEEDED);
  const grpc::Status status = Ask("Hold", kHour);
  EXPECT_EQ(status.error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(status.error_message(), "the server lets no call run for that long");
  EXPECT_EQ(deadlines_->ended(), 2);
  std::lock_guard lock(mutex_);
  EXPECT_THAT(line_, HasSubstr("longer than --max_deadline or --default_deadline allows"));
  EXPECT_THAT(line_, HasSubstr("(/probe.Probe/Hold)"));
}

TEST_F(CallDeadlinesTest, CountsItAmongThoseWhoseDeadlineIsOver) {
  Start({.max = kShort});
  EXPECT_EQ(Ask("Hold", kHour).error_code(), grpc::DEADLINE_EXCEEDED);
  ASSERT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  const CallStats::Snapshot stats = tracker_.Stats();
  ASSERT_EQ(stats.ended.size(), 1u);
  EXPECT_EQ(stats.ended.front().status, grpc::DEADLINE_EXCEEDED);
}

TEST_F(CallDeadlinesTest, EndsACallOfTheSynchronousApi) {
  Start({.max = kShort}, sync_service_);
  EXPECT_EQ(Ask("Hold", kHour).error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(deadlines_->ended(), 1);
}

TEST_F(CallDeadlinesTest, DoesNotBoundAStream) {
  Start({.max = kShort, .when_unset = kShort});
  RawStream stream(channel_, "/probe.Probe/Watch");
  EXPECT_EQ(stream.Ask("\x0a\x01x"), "\x0a\x01x");
  EXPECT_GT(service_.left.load(), kShort);
  // Calls that began later have been ended meanwhile.
  EXPECT_EQ(Ask("Hold", kHour).error_code(), grpc::DEADLINE_EXCEEDED);
  EXPECT_EQ(deadlines_->ended(), 1);
  EXPECT_EQ(tracker_.streams(), 1);
}

TEST_F(CallDeadlinesTest, HasForgottenEveryCallThatIsOver) {
  Start({.max = kHour});
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Ask("Echo", milliseconds(0)).ok());
  ASSERT_TRUE(testkit::Eventually([&] { return tracker_.running() == 0; }));
  EXPECT_EQ(deadlines_->bounded(), 0);
}

}  // namespace
}  // namespace rpc
