#include "service/rpc/unary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/handler_guard.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/status_details.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using ::probe::Note;
using ::probe::Probe;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

absl::Status Twice(const Note& request, Note& response) {
  if (request.text() == "throw") throw std::runtime_error("out of\nluck");
  response.set_text(request.text() + request.text());
  if (request.text().empty()) return absl::InvalidArgumentError("text: must not be empty");
  return absl::OkStatus();
}

// Echo answers now, or later when the test wants it; Hold answers from the pool.
class Unary final : public Probe::CallbackService {
 public:
  BlockingPool pool{1, 1, [](const absl::Status&) {}};
  std::promise<std::optional<Answer<Note>>> later;
  std::atomic<int> worked{0};
  std::atomic<lifecycle::Clock::Duration> in_a_second{};
  std::atomic<lifecycle::Clock::Duration> ever{};

  // Whether the call of Hold with that text, which runs, has lost its caller.
  bool Abandoned(const std::string& text) {
    std::lock_guard lock(mutex_);
    return !Call(*held_.at(text)).Abandoned().ok();
  }

 private:
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note* request,
                                 Note* response) override {
    if (request->text().find("later") == std::string::npos) {
      return AnswerNow(context, [=, this] {
        const auto now = lifecycle::Clock::Steady().Now();
        in_a_second = Call(*context).DeadlineWithin(std::chrono::seconds(1)) - now;
        ever = Call(*context).DeadlineWithin(lifecycle::Clock::Duration::max()) - now;
        return Twice(*request, *response);
      });
    }
    return AnswerLater(context, response, [=, this](const Answer<Note>& answer) {
      if (request->text() == "throw later") throw std::runtime_error("no");
      response->set_text("filled");
      later.set_value(answer);
      if (request->text() == "later, and throw") throw std::runtime_error("no");
    });
  }
  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext* context, const Note* request,
                                 Note* response) override {
    {
      std::lock_guard lock(mutex_);
      held_[request->text()] = context;
    }
    return AnswerFromPool(pool, context, [=, this] {
      ++worked;
      return Twice(*request, *response);
    });
  }

  std::mutex mutex_;
  std::map<std::string, const grpc::CallbackServerContext*> held_;  // Guarded by mutex_.
};

class UnaryTest : public ::testing::Test {
 protected:
  UnaryTest() {
    guard_.Install(service_);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    stub_ = Probe::NewStub(NewConnection("127.0.0.1:" + std::to_string(port)));
  }

  // A call that its test may leave.
  struct Calling {
    const std::unique_ptr<grpc::ClientContext> context = Bounded();
    Note request;
    Note response;
    std::promise<grpc::Status> status;
    std::future<grpc::Status> answer = status.get_future();
    absl::Status Await() { return FromGrpc(answer.get()); }
    bool answered() const {
      return answer.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
    }
  };
  std::unique_ptr<Calling> Begin(const std::string& method, const std::string& text) {
    auto calling = std::make_unique<Calling>();
    calling->request.set_text(text);
    const auto done = [call = calling.get()](grpc::Status status) {
      call->status.set_value(std::move(status));
    };
    if (method == "Echo") {
      stub_->async()->Echo(calling->context.get(), &calling->request, &calling->response, done);
    } else {
      stub_->async()->Hold(calling->context.get(), &calling->request, &calling->response, done);
    }
    return calling;
  }
  absl::Status Ask(const std::string& method, const std::string& text) {
    return Begin(method, text)->Await();
  }
  // The last one.
  std::string line() {
    std::lock_guard lock(mutex_);
    return line_;
  }

  std::mutex mutex_;
  std::string line_;           // Guarded by mutex_.
  std::vector<int> statuses_;  // Guarded by mutex_.
  Unary service_;
  HandlerGuard guard_{[] { return false; },
                      [this](const std::string& line) {
                        std::lock_guard lock(mutex_);
                        line_ = line;
                      },
                      [this](const void* call, int status) {
                        std::lock_guard lock(mutex_);
                        EXPECT_NE(call, nullptr);
                        statuses_.push_back(status);
                      }};
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Probe::Stub> stub_;
};

TEST_F(UnaryTest, AnswersWithWhatItsHandlerReturns) {
  for (const std::string method : {"Echo", "Hold"}) {
    const auto calling = Begin(method, "a");
    EXPECT_TRUE(calling->Await().ok());
    EXPECT_EQ(calling->response.text(), "aa");
    EXPECT_TRUE(absl::IsInvalidArgument(Ask(method, "")));
  }
}

TEST_F(UnaryTest, HasItsCallersDeadlineOrAnEarlierLimit) {
  EXPECT_TRUE(Ask("Echo", "a").ok());
  EXPECT_GE(service_.in_a_second.load(), std::chrono::seconds(1));
  EXPECT_LT(service_.in_a_second.load(), std::chrono::seconds(60));
  EXPECT_GT(service_.ever.load(), std::chrono::seconds(1));
  EXPECT_LT(service_.ever.load(), std::chrono::hours(1));  // Bounded() has a minute.
}

TEST_F(UnaryTest, AnswersInternalAndLogsWhenItsHandlerThrows) {
  EXPECT_TRUE(absl::IsInternal(Ask("Echo", "throw")));
  EXPECT_TRUE(absl::IsInternal(Ask("Echo", "throw later")));
  EXPECT_THAT(line(), HasSubstr("/probe.Probe/Echo"));
  EXPECT_TRUE(absl::IsInternal(Ask("Hold", "throw")));
  EXPECT_THAT(line(), HasSubstr("/probe.Probe/Hold"));
  EXPECT_EQ(guard_.failed(), 3);
}

TEST_F(UnaryTest, ReportsEachStatusOnceBeforeTheCallEnds) {
  Ask("Echo", "a").IgnoreError();
  Ask("Hold", "").IgnoreError();
  Ask("Echo", "throw").IgnoreError();
  Ask("Echo", "throw later").IgnoreError();
  std::lock_guard lock(mutex_);
  EXPECT_THAT(statuses_,
              ElementsAre(grpc::OK, grpc::INVALID_ARGUMENT, grpc::INTERNAL, grpc::INTERNAL));
}

TEST_F(UnaryTest, IsAnsweredFromAnywhere) {
  const auto calling = Begin("Echo", "later");
  std::optional<Answer<Note>> answer = service_.later.get_future().get();
  const Answer<Note> copy = *answer;
  answer.reset();
  Note response;
  response.set_text("now");
  copy(response);
  EXPECT_TRUE(calling->Await().ok());
  EXPECT_EQ(calling->response.text(), "now");
}

TEST_F(UnaryTest, IsAnsweredWithWhatWasFilled) {
  const auto calling = Begin("Echo", "later");
  (*service_.later.get_future().get())(absl::OkStatus());
  EXPECT_TRUE(calling->Await().ok());
  EXPECT_EQ(calling->response.text(), "filled");
}

using UnaryDeathTest = UnaryTest;

TEST_F(UnaryDeathTest, IsAnsweredOnce) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto calling = Begin("Echo", "later");
  const std::optional<Answer<Note>> answer = service_.later.get_future().get();
  (*answer)(absl::NotFoundError("no"));
  EXPECT_TRUE(absl::IsNotFound(calling->Await()));
  EXPECT_DEATH((*answer)(Note()), "a call is answered once");
}

TEST_F(UnaryTest, IsUnavailableWhenItsAnswerIsDropped) {
  const auto calling = Begin("Echo", "later");
  service_.later.get_future().get().reset();
  EXPECT_TRUE(absl::IsUnavailable(calling->Await()));
  EXPECT_THAT(line(), HasSubstr("/probe.Probe/Echo"));
  EXPECT_EQ(guard_.failed(), 0) << "nothing was thrown";
}

// It may have gone to the pool from a handler that answers later.
TEST_F(UnaryTest, IsInternalWhenTheWorkThatHasItsAnswerThrows) {
  const auto calling = Begin("Echo", "later");
  ASSERT_TRUE(service_.pool.Run(
      [answer = service_.later.get_future().get()] { throw std::runtime_error("no disk"); }));
  EXPECT_TRUE(absl::IsInternal(calling->Await()));
}

// The backend that has the answer may fill the response meanwhile.
TEST_F(UnaryTest, IsUpToWhoeverHasItsAnswerWhenItsHandlerThrows) {
  const auto calling = Begin("Echo", "later, and throw");
  std::optional<Answer<Note>> answer = service_.later.get_future().get();
  ASSERT_TRUE(testkit::Eventually([&] { return guard_.failed() == 1; }));
  EXPECT_FALSE(calling->answered());
  (*answer)(absl::NotFoundError("no such thing"));
  EXPECT_TRUE(absl::IsNotFound(calling->Await()));
}

// Its pool has one thread, which is busy, and one place to wait in.
class FullPoolTest : public UnaryTest {
 protected:
  FullPoolTest() {
    EXPECT_TRUE(service_.pool.Run([this] {
      busy_.set_value();
      end_.get_future().wait();
    }));
    busy_.get_future().wait();
  }
  // Begins two calls; the first of the two waits in the pool, the other was refused.
  std::pair<std::unique_ptr<Calling>, std::unique_ptr<Calling>> BeginTwo() {
    auto one = Begin("Hold", "a");
    auto other = Begin("Hold", "b");
    EXPECT_TRUE(testkit::Eventually([&] { return one->answered() || other->answered(); }));
    if (one->answered()) std::swap(one, other);
    return {std::move(one), std::move(other)};
  }
  void End() { end_.set_value(); }

 private:
  std::promise<void> busy_;
  std::promise<void> end_;
};

TEST_F(FullPoolTest, TellsWhenToTryAgain) {
  const auto [waits, refused] = BeginTwo();
  const absl::Status status = refused->Await();
  EXPECT_EQ(CodeAndReason(status, "probe"), "RESOURCE_EXHAUSTED OVERLOADED") << status;
  EXPECT_TRUE(SaysWhenToRetry(status));
  End();
  EXPECT_TRUE(waits->Await().ok());
}

TEST_F(FullPoolTest, DropsWhatNobodyWaitsForAnyMore) {
  const auto [left, refused] = BeginTwo();
  refused->Await().IgnoreError();
  left->context->TryCancel();
  EXPECT_TRUE(absl::IsCancelled(left->Await()));
  ASSERT_TRUE(testkit::Eventually(
      [this, &text = left->request.text()] { return service_.Abandoned(text); }));
  End();
  ASSERT_TRUE(service_.pool.Close(lifecycle::Clock::TimePoint::max()).ok());
  EXPECT_EQ(service_.worked, 0);
}

}  // namespace
}  // namespace rpc
