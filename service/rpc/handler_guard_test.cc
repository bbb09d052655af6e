#include "service/rpc/handler_guard.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/guarded_method.h"
#include "service/rpc/status.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/raw_peer.h"
#include "service/rpc/testing/status_details.h"

namespace rpc {
namespace {

using ::probe::Note;
using ::probe::Probe;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Echo answers, all the rest throw.
class Throwing final : public Probe::CallbackService {
  grpc::ServerUnaryReactor* Echo(grpc::CallbackServerContext* context, const Note* request,
                                 Note* response) override {
    *response = *request;
    auto* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext*, const Note*, Note*) override {
    throw std::runtime_error("out of\nluck");
  }
  grpc::ServerWriteReactor<Note>* Watch(grpc::CallbackServerContext*, const Note*) override {
    throw 42;
  }
  grpc::ServerReadReactor<Note>* Gather(grpc::CallbackServerContext*, Note*) override {
    throw std::runtime_error("nothing to gather");
  }
  grpc::ServerBidiReactor<Note, Note>* Chat(grpc::CallbackServerContext*) override {
    throw std::runtime_error("no chat");
  }
};

class ThrowingSync final : public Probe::Service {
  grpc::Status Hold(grpc::ServerContext*, const Note*, Note*) override {
    throw std::runtime_error("out of luck");
  }
  grpc::Status Watch(grpc::ServerContext*, const Note*, grpc::ServerWriter<Note>*) override {
    throw 42;
  }
  grpc::Status Gather(grpc::ServerContext*, grpc::ServerReader<Note>*, Note*) override {
    throw std::runtime_error("nothing to gather");
  }
  grpc::Status Chat(grpc::ServerContext*, grpc::ServerReaderWriter<Note, Note>*) override {
    throw std::runtime_error("no chat");
  }
};

// A method that is not there.
class Empty final : public Probe::CallbackService {};

template <typename Served>
class Host {
 public:
  explicit Host(
      Served& service, std::function<bool()> overloaded = [] { return false; },
      const GoodbyeSignal* goodbye = nullptr)
      : guard_(
            std::move(overloaded),
            [this](const std::string& line) {
              std::lock_guard lock(mutex_);
              lines_.push_back(line);
            },
            [this](const void*, int status) {
              std::lock_guard lock(mutex_);
              answered_.push_back(status);
            },
            /*authorize=*/{}, goodbye) {
    guard_.Install(service);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&service);
    server_ = builder.BuildAndStart();
    address_ = "127.0.0.1:" + std::to_string(port);
    channel_ = NewConnection(address_);
  }
  ~Host() { server_->Shutdown(std::chrono::system_clock::now()); }

  // The status of a call whose only message is `bytes`.
  grpc::Status Call(const std::string& method, const std::string& bytes = "") {
    RawStream stream(channel_, "/probe.Probe/" + method);
    stream.Ask(bytes);
    return stream.AwaitEnd();
  }

  const std::string& address() const { return address_; }

  std::string line() {
    std::lock_guard lock(mutex_);
    return lines_.empty() ? "" : lines_.back();
  }

  // With which statuses its calls have ended, one after the other.
  std::vector<int> answered() {
    std::lock_guard lock(mutex_);
    return answered_;
  }

  HandlerGuard& guard() { return guard_; }

 private:
  std::mutex mutex_;
  std::vector<std::string> lines_;  // Guarded by mutex_.
  std::vector<int> answered_;       // Guarded by mutex_.
  HandlerGuard guard_;
  std::unique_ptr<grpc::Server> server_;
  std::string address_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST(HandlerGuard, TellsWithWhichStatusAHandlerHasEndedItsCall) {
  if (UndefinedBehaviourIsWatched()) GTEST_SKIP() << "gRPC's header would be objected to";
  Throwing service;
  Host host(service);
  for (const char* method : {"Hold", "Chat"}) host.Call(method);
  Empty empty;
  Host none(empty);
  for (const char* method : {"Echo", "Watch"}) none.Call(method);
  EXPECT_THAT(host.answered(), ElementsAre(grpc::INTERNAL, grpc::INTERNAL));
  EXPECT_THAT(none.answered(), ElementsAre(grpc::UNIMPLEMENTED, grpc::UNIMPLEMENTED));
}

TEST(HandlerGuard, AnswersForAHandlerThatThrows) {
  Throwing service;
  Host host(service);
  const grpc::Status status = host.Call("Hold");
  EXPECT_EQ(status.error_code(), grpc::INTERNAL);
  EXPECT_EQ(status.error_message(), "the handler failed");
  EXPECT_EQ(host.guard().failed(), 1);
  EXPECT_THAT(host.line(), HasSubstr("(/probe.Probe/Hold: out of\\nluck)"));
  EXPECT_TRUE(host.Call("Echo").ok());
}

TEST(HandlerGuard, SaysWhatAMethodThrowsThoughAnotherHasJustThrown) {
  ThrowingSync service;
  Host host(service);
  for (const char* method : {"Hold", "Gather", "Hold"}) host.Call(method);
  EXPECT_THAT(host.line(), HasSubstr("(/probe.Probe/Gather: nothing to gather)"));
  EXPECT_EQ(host.guard().failed(), 3);
  host.guard().ForEachLog([](LimitLog& log) { log.Flush(LimitLog::Clock::now()); });
  EXPECT_THAT(host.line(), HasSubstr("Gather"));
  host.guard().ForEachLog(
      [](LimitLog& log) { log.Flush(LimitLog::Clock::now() + LimitLog::kInterval); });
  EXPECT_THAT(host.line(), HasSubstr("1 time in the last minute (/probe.Probe/Hold: out of luck)"));
}

TEST(HandlerGuard, AnswersForAStreamThatThrows) {
  if (UndefinedBehaviourIsWatched()) GTEST_SKIP() << "gRPC's header would be objected to";
  Throwing service;
  Host host(service);
  EXPECT_EQ(host.Call("Watch").error_code(), grpc::INTERNAL);
  EXPECT_THAT(host.line(), HasSubstr("/probe.Probe/Watch"));
  EXPECT_EQ(host.Call("Gather").error_code(), grpc::INTERNAL);
  EXPECT_EQ(host.Call("Chat").error_code(), grpc::INTERNAL);
  EXPECT_EQ(host.guard().failed(), 3);
  EXPECT_THAT(host.line(), HasSubstr("/probe.Probe/Chat"));
}

TEST(HandlerGuard, AnswersForASynchronousHandlerThatThrows) {
  ThrowingSync service;
  Host host(service);
  EXPECT_EQ(host.Call("Hold").error_code(), grpc::INTERNAL);
  EXPECT_EQ(host.Call("Watch").error_code(), grpc::INTERNAL);
  EXPECT_EQ(host.Call("Gather").error_code(), grpc::INTERNAL);
  EXPECT_EQ(host.Call("Chat").error_code(), grpc::INTERNAL);
  EXPECT_EQ(host.guard().failed(), 4);
  EXPECT_EQ(host.Call("Hold", "\x0a\x02\xff\xfe").error_code(), grpc::INVALID_ARGUMENT);
}

TEST(HandlerGuard, LeavesWhatIsNotImplementedUnimplemented) {
  Empty service;
  Host host(service);
  EXPECT_EQ(host.Call("Echo").error_code(), grpc::UNIMPLEMENTED);
  EXPECT_EQ(host.Call("Watch").error_code(), grpc::UNIMPLEMENTED);
  EXPECT_EQ(host.guard().failed(), 0);
}

TEST(HandlerGuard, SaysThatARequestCannotBeParsed) {
  Throwing service;
  Host host(service);
  // Invalid UTF-8 in a string; and no message at all.
  for (const std::string bytes : {"\x0a\x02\xff\xfe", "\xff\xff\xff"}) {
    const grpc::Status status = host.Call("Echo", bytes);
    EXPECT_EQ(status.error_code(), grpc::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(), HasSubstr("cannot be parsed"));
    EXPECT_EQ(host.Call("Watch", bytes).error_code(), grpc::INVALID_ARGUMENT);
  }
  EXPECT_EQ(host.guard().undecodable(), 4);
  EXPECT_THAT(host.line(), HasSubstr("/probe.Probe/Echo"));
}

// As of a caller who has cancelled: his right, and nothing for the log.
TEST(HandlerGuard, SaysNothingOfARequestThatNeverCame) {
  Throwing service;
  Host host(service);
  RawPeer peer(host.address());
  const std::uint32_t stream = peer.Open("/probe.Probe/Echo");
  peer.Send({RawPeer::kData, RawPeer::kEndStream, stream, ""});
  EXPECT_TRUE(peer.AwaitOn(stream, RawPeer::kHeaders).has_value()) << "its end";
  EXPECT_EQ(host.guard().undecodable(), 0);
}

TEST(HandlerGuard, RefusesCallsAboveTheLimit) {
  Throwing service;
  ThrowingSync sync;
  std::atomic<bool> overloaded{true};
  Host host(service, [&overloaded] { return overloaded.load(); });
  Host sync_host(sync, [&overloaded] { return overloaded.load(); });
  for (const std::string method : {"Echo", "Watch", "Chat"}) {
    for (const grpc::Status& status : {host.Call(method), sync_host.Call(method)}) {
      const absl::Status refused = FromGrpc(status);
      EXPECT_EQ(CodeAndReason(refused, "probe"), "RESOURCE_EXHAUSTED OVERLOADED") << method;
      const auto delay = DetailOf<google::rpc::RetryInfo>(refused).retry_delay();
      EXPECT_EQ(delay.seconds(), 0) << method;
      EXPECT_EQ(delay.nanos(), 200'000'000) << method;
    }
  }
  EXPECT_EQ(host.guard().refused(), 3);
  EXPECT_THAT(host.line(), HasSubstr("too many calls"));
  overloaded = false;
  EXPECT_TRUE(host.Call("Echo").ok());
}

TEST(HandlerGuard, KnowsEachServiceByItsName) {
  Probe::CallbackService service;
  Probe::AsyncService asynchronous;
  grpc::Service without_methods;
  HandlerGuard guard([] { return false; }, [](const std::string&) {});
  guard.Install(service);
  guard.Install(asynchronous);
  guard.Install(without_methods);
  EXPECT_THAT(guard.services(), ElementsAre("probe.Probe", "probe.Probe"));
  EXPECT_THAT(guard.methods(),
              ElementsAre("/probe.Probe/Echo", "/probe.Probe/Hold", "/probe.Probe/Watch",
                          "/probe.Probe/Chat", "/probe.Probe/Gather"));
}

// Asks in its handler what stream.h and unary.h ask.
class Asking final : public Probe::CallbackService {
 public:
  std::stop_token goodbye;
  std::string package;

 private:
  grpc::ServerUnaryReactor* Hold(grpc::CallbackServerContext* context, const Note*,
                                 Note*) override {
    goodbye = GuardedMethod::Current()->Goodbye();
    package = GuardedMethod::Current()->Package();
    auto* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }
};

TEST(HandlerGuard, TellsAHandlerItsPackageAndItsServersGoodbye) {
  GoodbyeSignal goodbye;
  Asking service;
  Host host(
      service, [] { return false; }, &goodbye);
  EXPECT_TRUE(host.Call("Hold").ok());
  EXPECT_EQ(service.package, "probe");
  EXPECT_FALSE(service.goodbye.stop_requested());
  goodbye.Announce();
  EXPECT_TRUE(service.goodbye.stop_requested());
}

TEST(HandlerGuard, HasNoGoodbyeOfAServerThatIsGone) {
  Asking service;
  {
    GoodbyeSignal goodbye;
    HandlerGuard guard([] { return false; }, [](const std::string&) {}, {}, {}, &goodbye);
    guard.Install(service);
  }
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&service);
  const auto server = builder.BuildAndStart();
  RawStream stream(NewConnection("127.0.0.1:" + std::to_string(port)), "/probe.Probe/Hold");
  stream.Ask("");
  EXPECT_TRUE(stream.AwaitEnd().ok());
  EXPECT_FALSE(service.goodbye.stop_possible());
}

TEST(HandlerGuard, GuardsALaterServersServicesToo) {
  Throwing service;
  { EXPECT_EQ(Host(service).Call("Hold").error_code(), grpc::INTERNAL); }
  Host host(service);
  EXPECT_EQ(host.Call("Hold").error_code(), grpc::INTERNAL);
  EXPECT_EQ(host.guard().failed(), 1);
}

}  // namespace
}  // namespace rpc
