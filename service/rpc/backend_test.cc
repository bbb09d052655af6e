#include "service/rpc/backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "grpc/grpc.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/connections/listener.h"
#include "service/rpc/handler_guard.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "tests/common/eventually.h"

namespace rpc {
namespace {

using ::probe::Note;
using ::probe::Probe;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Stub = Probe::Stub;

using EchoOrHold = Backend<Probe>::Method<class Stub::async, Note, Note>;

// One call. `whose`: its caller, or what tells it to give up.
template <typename Whose>
std::future<absl::StatusOr<Note>> Begin(Backend<Probe>& backend, EchoOrHold method, Whose whose,
                                        Note request) {
  auto answer = std::make_shared<std::promise<absl::StatusOr<Note>>>();
  backend.Call(method, std::move(whose), std::move(request),
               [answer](absl::StatusOr<Note> note) { answer->set_value(std::move(note)); });
  return answer->get_future();
}

class BackendTest : public ::testing::Test {
 protected:
  BackendTest() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterService(&service_);
    server_ = builder.BuildAndStart();
    backend_ = std::make_unique<Backend<Probe>>(
        BackendChannel::Options{.target = "127.0.0.1:" + std::to_string(port_)},
        [this](const std::string& line) {
          std::lock_guard lock(mutex_);
          lines_.push_back(line);
        });
  }
  ~BackendTest() override { service_.Release(); }

  static Note Text(const std::string& text) {
    Note note;
    note.set_text(text);
    return note;
  }
  // One call on behalf of a caller.
  std::future<absl::StatusOr<Note>> Begin(EchoOrHold method, const std::string& text) {
    return rpc::Begin(*backend_, method, Call(caller_), Text(text));
  }
  std::vector<std::string> lines() {
    std::lock_guard lock(mutex_);
    return lines_;
  }

  const grpc::CallbackServerContext caller_;
  std::mutex mutex_;
  std::vector<std::string> lines_;  // Guarded by mutex_.
  int port_ = 0;
  ProbeService service_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<Backend<Probe>> backend_;
};

TEST_F(BackendTest, AnswersCallsWithAndWithoutACaller) {
  const absl::StatusOr<Note> answer = Begin(&Stub::async::Echo, "a").get();
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(answer->text(), "a");
  const absl::StatusOr<Note> without =
      rpc::Begin(*backend_, &Stub::async::Echo, std::stop_token(), Text("b")).get();
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_EQ(without->text(), "b");
  EXPECT_THAT(lines(), IsEmpty());
}

TEST_F(BackendTest, SaysThatItCannotBeReached) {
  server_->Shutdown();
  EXPECT_TRUE(absl::IsUnavailable(Begin(&Stub::async::Echo, "a").get().status()));
  EXPECT_THAT(lines(),
              ElementsAre(HasSubstr("127.0.0.1:" + std::to_string(port_) + " cannot be reached")));
}

TEST_F(BackendTest, IsClosedThoughCallsRun) {
  auto held = Begin(&Stub::async::Hold, "a");
  ASSERT_TRUE(service_.AwaitHeld(1));
  EXPECT_TRUE(backend_->Close(lifecycle::Clock::Steady().Now() + std::chrono::seconds(60)).ok());
  EXPECT_TRUE(absl::IsUnavailable(held.get().status()));
  EXPECT_TRUE(absl::IsUnavailable(Begin(&Stub::async::Echo, "a").get().status()));
}

// CANCELLED would tell a caller who still waits that it has cancelled the call; and few try again.
TEST_F(BackendTest, ACallersCallThatIsGivenUpIsUnavailable) {
  std::stop_source answer_now;
  Backend<Probe> backend(
      {.target = "127.0.0.1:" + std::to_string(port_), .answer_now = answer_now.get_token()},
      [](const std::string&) {});
  auto held = rpc::Begin(backend, &Stub::async::Hold, Call(caller_), Text("a"));
  ASSERT_TRUE(service_.AwaitHeld(1));
  answer_now.request_stop();
  const absl::Status told = held.get().status();
  EXPECT_TRUE(absl::IsUnavailable(told)) << told;
  EXPECT_THAT(std::string(told.message()), HasSubstr("given up; try again"));
}

// Answers as gRPC does for a server that stops at once.
class Stopping final : public Probe::CallbackService {
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note*,
                                 Note*) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::CANCELLED);
    return reactor;
  }
};

TEST_F(BackendTest, ABackendThatStopsIsUnavailableToCallers) {
  Stopping service;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  Backend<Probe> backend({.target = "127.0.0.1:" + std::to_string(port)},
                         [](const std::string&) {});
  const auto ask = [&](auto whose) {
    return rpc::Begin(backend, &Stub::async::Echo, whose, Text("a")).get().status();
  };
  EXPECT_TRUE(absl::IsUnavailable(ask(Call(caller_))));
  EXPECT_TRUE(absl::IsCancelled(ask(std::stop_token())));
}

TEST_F(BackendTest, ACallThatIsGivenUpIsCancelled) {
  std::stop_source stop;
  auto held = rpc::Begin(*backend_, &Stub::async::Hold, stop.get_token(), Text("a"));
  ASSERT_TRUE(service_.AwaitHeld(1));
  stop.request_stop();
  EXPECT_TRUE(absl::IsCancelled(held.get().status()));
  EXPECT_TRUE(backend_->Close(lifecycle::Clock::Steady().Now() + std::chrono::seconds(60)).ok());
}

// As a server that is started without its address; a proxy of the environment is not asked either.
TEST(BackendWithoutATarget, IsUnavailable) {
  std::atomic<int> lines = 0;
  Backend<Probe> backend({.target = ""}, [&](const std::string&) { ++lines; });
  const lifecycle::Clock::TimePoint now = lifecycle::Clock::Steady().Now();
  EXPECT_FALSE(backend.AwaitConnected(now));
  const grpc::CallbackServerContext caller;
  const absl::Status unavailable = absl::UnavailableError("no backend is configured");
  EXPECT_EQ(Begin(backend, &Stub::async::Echo, std::stop_token(), Note()).get().status(),
            unavailable);
  EXPECT_EQ(Begin(backend, &Stub::async::Echo, Call(caller), Note()).get().status(), unavailable);
  EXPECT_TRUE(backend.Close(now).ok());
  EXPECT_EQ(lines, 0);
}

// A backend that lets its callers send as much as they like, and reads none of it.
class Unreading {
 public:
  Unreading() {
    EXPECT_TRUE(listener_->Listen().ok());
    listener_->Start([this](int, int fd) {
      constexpr char kSettings = 4;
      constexpr char kWindowUpdate = 8;
      const std::string most = "\x7f\xff\xff\xff";
      const std::string hello = Http2Frame(kSettings, 0, 0, std::string("\0\x04", 2) + most) +
                                Http2Frame(kWindowUpdate, 0, 0, std::string("\x7f\xff\0\0", 4));
      EXPECT_EQ(write(fd, hello.data(), hello.size()), static_cast<ssize_t>(hello.size()));
      fd_ = fd;
    });
  }
  ~Unreading() { End(); }

  std::string address() const { return listener_->address(); }

  // How many bytes wait to be read.
  int Arrived() const {
    int bytes = 0;
    return fd_ >= 0 && ioctl(fd_, FIONREAD, &bytes) == 0 ? bytes : 0;
  }

  void End() {
    listener_->Close();
    if (fd_ >= 0) close(fd_.exchange(-1));
  }

 private:
  std::atomic<int> fd_ = -1;
  std::unique_ptr<Listener> listener_ = *Listener::Bind("127.0.0.1:0");
};

TEST(BackendWithoutAReader, KeepsNobodyFromGivingUp) {
  grpc_init();  // Never undone: gRPC would wait 10 s for the thread of a write that had to wait.
  Unreading unreading;
  Backend<Probe> backend({.target = unreading.address(), .timeout = std::chrono::hours(1)},
                         [](const std::string&) {});
  std::stop_source stop;
  Note large;
  large.set_text(std::string(64 << 20, 'x'));
  std::future<absl::StatusOr<Note>> answer =
      Begin(backend, &Stub::async::Echo, stop.get_token(), std::move(large));
  // More than begins a call, and less than a socket holds.
  EXPECT_TRUE(testkit::Eventually([&] { return unreading.Arrived() > (32 << 10); }));
  const std::future<void> given_up = std::async(std::launch::async, [&] { stop.request_stop(); });
  EXPECT_EQ(given_up.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  const lifecycle::Clock::TimePoint now = lifecycle::Clock::Steady().Now();
  EXPECT_TRUE(absl::IsDeadlineExceeded(backend.Close(now))) << "the call has ended";
  unreading.End();
  EXPECT_TRUE(absl::IsCancelled(answer.get().status()));
  EXPECT_TRUE(backend.Close(now + std::chrono::seconds(60)).ok());
}

// Asks another one, and cannot cope with the answer.
class Careless final : public Probe::CallbackService {
 public:
  explicit Careless(Backend<Probe>& backend) : backend_(backend) {}

 private:
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note* request,
                                 Note* response) override {
    if (request->text() == "in a pool") return AskFromPool(context, *request);
    return AnswerLater(context, response, [=, this](const Answer<Note>& answer) {
      const auto fail = [answer](const absl::StatusOr<Note>& note) {
        if (note.ok()) throw std::out_of_range("map::at");
        answer(note.status());
      };
      const auto ask = [this, context, request, fail](const absl::StatusOr<Note>&) {
        backend_.Call(&Stub::async::Echo, *context, *request, fail);
      };
      if (request->text() == "in a handler") return ask(Note());
      backend_.Call(&Stub::async::Echo, *context, *request, ask);
    });
  }
  grpc::ServerUnaryReactor* AskFromPool(grpc::CallbackServerContext* context, const Note& request) {
    return AnswerFromPool(pool_, context, [this, context, &request] {
      auto kept = std::make_shared<std::promise<void>>();
      const std::future<void> dropped = kept->get_future();
      backend_.Call(&Stub::async::Echo, *context, request,
                    [kept = std::move(kept)](const absl::StatusOr<Note>&) {
                      throw std::out_of_range("map::at");
                    });
      dropped.wait();
      return absl::InternalError("no answer");
    });
  }

  Backend<Probe>& backend_;
  BlockingPool pool_{1, 1};
};

TEST_F(BackendTest, AnAnswerThatCannotBeCopedWithIsTheHandlersFailure) {
  for (const char* asked : {"in a handler", "in a pool", "in another answer"}) {
    Careless service(*backend_);
    std::vector<std::string> failures;
    HandlerGuard guard([] { return false; },
                       [&](const std::string& line) {
                         std::lock_guard lock(mutex_);
                         failures.push_back(line);
                       });
    guard.Install(service);
    int port = 0;
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
    const auto stub = Probe::NewStub(NewConnection("127.0.0.1:" + std::to_string(port)));
    Note note;
    EXPECT_EQ(stub->Echo(Bounded().get(), Text(asked), &note).error_code(), grpc::INTERNAL);
    EXPECT_EQ(guard.failed(), 1) << asked;
    server->Shutdown();
    std::lock_guard lock(mutex_);
    EXPECT_THAT(failures, ElementsAre(HasSubstr("/probe.Probe/Echo: map::at"))) << asked;
  }
  EXPECT_THAT(lines(), IsEmpty());
}

TEST_F(BackendTest, WhatIsThrownWithoutACallerIsLogged) {
  std::promise<void> called;
  backend_->Call(&Stub::async::Echo, std::stop_token(), Text("a"), [&](absl::StatusOr<Note>) {
    called.set_value();
    throw std::out_of_range("map::at");
  });
  called.get_future().wait();
  EXPECT_TRUE(testkit::Eventually([&] { return !lines().empty(); }));
  EXPECT_THAT(lines(), ElementsAre(HasSubstr("a backend's answer failed: map::at")));
}

TEST_F(BackendTest, WhatIsThrownOnceClosedIsLoggedToo) {
  ASSERT_TRUE(backend_->Close(lifecycle::Clock::Steady().Now() + std::chrono::seconds(60)).ok());
  backend_->Call(&Stub::async::Echo, std::stop_token(), Text("a"),
                 [](absl::StatusOr<Note>) { throw std::out_of_range("map::at"); });
  EXPECT_THAT(lines(), ElementsAre(HasSubstr("a backend's answer failed: map::at")));
}

}  // namespace
}  // namespace rpc
