// The smallest service does what docs/make-it-yours.md says of it.
#include <signal.h>

#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <string>

#include "gmock/gmock.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "gtest/gtest.h"
#include "service/rpc/status.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/status_details.h"
#include "tests/common/child_process.h"
#include "tests/common/server_process.h"
#include "tests/common/temp_dir.h"
#include "tests/servers/hello/hello.grpc.pb.h"

namespace hello {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::chrono::seconds kLimit{60};

class HelloTest : public ::testing::Test {
 protected:
  std::unique_ptr<testkit::ServerProcess> Start(const std::string& count_file,
                                                const std::string& elder = "",
                                                const std::string& grace = "30s") {
    auto server = testkit::ServerProcess::Start(
        {.binary = "tests/servers/hello/hello_server",
         .flags = {"--shutdown_lame_duck=0s", "--elder=" + elder, "--termination_grace=" + grace,
                   "--count_file=" + directory_.path() + "/" + count_file}});
    EXPECT_TRUE(server.ok()) << server.status();
    return server.ok() ? *std::move(server) : nullptr;
  }
  using Method = grpc::Status (v1::Hello::Stub::*)(grpc::ClientContext*, const v1::GreetRequest&,
                                                   v1::GreetResponse*);
  static absl::StatusOr<std::string> Greet(v1::Hello::Stub& stub, const std::string& name,
                                           Method method = &v1::Hello::Stub::Greet) {
    const auto context = rpc::Bounded();
    v1::GreetRequest request;
    request.set_name(name);
    v1::GreetResponse response;
    const grpc::Status status = (stub.*method)(context.get(), request, &response);
    if (!status.ok()) return rpc::FromGrpc(status);
    return response.greeting();
  }
  static std::unique_ptr<v1::Hello::Stub> StubOf(const testkit::ServerProcess& server) {
    return v1::Hello::NewStub(rpc::NewConnection(server.address()));
  }

  const testkit::TempDir directory_;
};

TEST_F(HelloTest, GreetsAndHasItsElderGreet) {
  const auto elder = Start("elder");
  ASSERT_NE(elder, nullptr);
  const auto server = Start("greeted", elder->address());
  ASSERT_NE(server, nullptr);
  const auto stub = StubOf(*server);
  const auto ask_elder = &v1::Hello::Stub::AskElder;
  for (const Method method : {&v1::Hello::Stub::Greet, ask_elder}) {
    const auto greeting = Greet(*stub, "Ada", method);
    ASSERT_TRUE(greeting.ok()) << greeting.status();
    EXPECT_EQ(*greeting, "Hello, Ada");
    EXPECT_TRUE(absl::IsInvalidArgument(Greet(*stub, "", method).status()));
  }
  elder->process().Signal(SIGTERM);
  EXPECT_EQ(elder->process().Wait(kLimit), testkit::Ending::Exited(0));
  EXPECT_TRUE(absl::IsUnavailable(Greet(*stub, "Ada", ask_elder).status()));
  EXPECT_TRUE(Greet(*stub, "Ada").ok());
  EXPECT_TRUE(server->process().AwaitOutput("cannot be reached", kLimit));
}

// An elder that never answers.
class Silent final : public v1::Hello::CallbackService {
 public:
  std::promise<void> asked;

 private:
  class Held final : public grpc::ServerUnaryReactor {
    void OnCancel() override { Finish(grpc::Status::CANCELLED); }
    void OnDone() override { delete this; }
  };
  grpc::ServerUnaryReactor* Greet(grpc::CallbackServerContext*, const v1::GreetRequest*,
                                  v1::GreetResponse*) override {
    asked.set_value();
    return new Held;
  }
};

TEST_F(HelloTest, TellsInADrainThatItHasGivenItsElderUp) {
  Silent silent;
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(&silent);
  const std::unique_ptr<grpc::Server> elder = builder.BuildAndStart();
  const auto server = Start("greeted", "127.0.0.1:" + std::to_string(port), "3s");
  ASSERT_NE(server, nullptr);
  const auto stub = StubOf(*server);
  std::future<absl::Status> greeting = std::async(
      std::launch::async, [&] { return Greet(*stub, "Ada", &v1::Hello::Stub::AskElder).status(); });
  ASSERT_EQ(silent.asked.get_future().wait_for(kLimit), std::future_status::ready);
  server->process().Signal(SIGTERM);
  const absl::Status told = greeting.get();
  EXPECT_TRUE(absl::IsUnavailable(told)) << told;
  EXPECT_THAT(std::string(told.message()), HasSubstr("given up; try again"));
  EXPECT_EQ(server->process().Wait(kLimit), testkit::Ending::Exited(0));
}

TEST_F(HelloTest, WithoutAnElderNobodyIsAsked) {
  const auto server = Start("greeted");
  ASSERT_NE(server, nullptr);
  const auto answer = Greet(*StubOf(*server), "Ada", &v1::Hello::Stub::AskElder);
  EXPECT_EQ(answer.status(), absl::UnavailableError("no backend is configured"));
  server->process().Signal(SIGTERM);
  EXPECT_EQ(server->process().Wait(kLimit), testkit::Ending::Exited(0));
  EXPECT_THAT(server->process().Output(), Not(HasSubstr("reached")));
  EXPECT_THAT(server->process().Output(), Not(HasSubstr("[grpc]")));
}

TEST_F(HelloTest, WatchersResumeAndCountingContinuesAfterARestart) {
  auto server = Start("greeted");
  ASSERT_NE(server, nullptr);
  const auto stub = StubOf(*server);
  ASSERT_TRUE(Greet(*stub, "Ada").ok());
  const auto context = rpc::Bounded();
  const auto watch = stub->Watch(context.get(), v1::WatchRequest());
  v1::WatchResponse message;
  ASSERT_TRUE(watch->Read(&message));
  EXPECT_EQ(message.greeted(), 1);
  ASSERT_TRUE(Greet(*stub, "Grace").ok());
  ASSERT_TRUE(watch->Read(&message));
  EXPECT_EQ(message.greeted(), 2);

  server->process().Signal(SIGTERM);
  EXPECT_FALSE(watch->Read(&message));
  const absl::Status goodbye = rpc::FromGrpc(watch->Finish());
  EXPECT_TRUE(absl::IsUnavailable(goodbye)) << goodbye;
  EXPECT_EQ(rpc::Metadata(goodbye, "after"), "2");
  EXPECT_EQ(server->process().Wait(kLimit), testkit::Ending::Exited(0));

  server = Start("greeted");
  ASSERT_NE(server, nullptr);
  const auto again = rpc::Bounded();
  const auto resumed = StubOf(*server);
  const auto from_start = resumed->Watch(again.get(), v1::WatchRequest());
  ASSERT_TRUE(from_start->Read(&message));
  EXPECT_EQ(message.greeted(), 2);
  again->TryCancel();
}

TEST_F(HelloTest, DoesNotStartWithADamagedCount) {
  const std::string file = directory_.path() + "/damaged";
  std::ofstream(file) << "many";
  const auto server = testkit::ServerProcess::Start(
      {.binary = "tests/servers/hello/hello_server", .flags = {"--count_file=" + file}});
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("has no number that can be read"));
  std::string kept;
  std::ifstream(file) >> kept;
  EXPECT_EQ(kept, "many");
}

}  // namespace
}  // namespace hello
