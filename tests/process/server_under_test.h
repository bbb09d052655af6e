#ifndef TESTS_PROCESS_SERVER_UNDER_TEST_H_
#define TESTS_PROCESS_SERVER_UNDER_TEST_H_

#include <signal.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/channel.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "tests/common/child_process.h"
#include "tests/common/event_log.h"
#include "tests/common/order_rules.h"
#include "tests/common/server_process.h"
#include "tests/process/echo_call.h"
#include "tests/process/held_call.h"
#include "tests/process/open_stream.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {

using testkit::kAllTheTime;

// A real server that serves bench.Bench in its own process, and a caller of it.
class ServerUnderTest : public ::testing::Test {
 protected:
  // Limits only how long a broken test takes to fail.
  static constexpr std::chrono::seconds kLimit{40};

  // `under`: what runs the binary, as ServerProcess has it.
  void Start(const std::string& binary, const std::vector<std::string>& flags,
             const std::vector<std::string>& under = {}) {
    auto server = testkit::ServerProcess::Start({.binary = binary, .flags = flags, .under = under});
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = rpc::NewConnection(address());
    stub_ = bench::Bench::NewStub(channel_);
  }

  const std::string& address() const { return server_->address(); }
  testkit::ChildProcess& process() { return server_->process(); }
  std::string Output() { return process().Output(); }
  bool Runs() { return process().Wait(std::chrono::milliseconds(0)) == testkit::Ending(); }

  grpc::Status Echo() { return EchoCall(*stub_, 0, kLimit).Status(); }

  // A call that the server has accepted: a later call on the same connection has already been
  // answered.
  std::unique_ptr<EchoCall> AcceptedEcho(std::uint32_t sleep_ms) {
    EXPECT_TRUE(Echo().ok());
    auto call = std::make_unique<EchoCall>(*stub_, sleep_ms, kLimit);
    EXPECT_TRUE(Echo().ok());
    return call;
  }

  // The same, until it is released.
  std::unique_ptr<HeldCall> AcceptedHold() {
    EXPECT_TRUE(Echo().ok());
    auto call = std::make_unique<HeldCall>(*stub_, kLimit);
    EXPECT_TRUE(Echo().ok());
    return call;
  }

  std::unique_ptr<OpenStream> Open(const std::string& method, const std::string& request = "") {
    return std::make_unique<OpenStream>(channel_, method, request, kLimit);
  }

  void AwaitEvent(const std::string& name) {
    ASSERT_TRUE(process().AwaitOutput(" " + name, kLimit)) << Output();
  }

  // Waits for the end of a shutdown. `uses`: as KeepsTheOrderOfAShutdown() has them.
  testkit::Ending Wait(const testkit::Uses& uses = {}) {
    return testkit::AwaitShutdown(process(), kLimit, uses);
  }

  std::vector<std::string> EventNames() { return testkit::EventNamesIn(Output()); }

  // The one event of this name.
  testkit::LoggedEvent Event(const std::string& name) {
    std::vector<testkit::LoggedEvent> found;
    for (const testkit::LoggedEvent& event : testkit::EventsIn(Output())) {
      if (event.name == name) found.push_back(event);
    }
    EXPECT_THAT(found, ::testing::SizeIs(1)) << name << " in\n" << Output();
    return found.empty() ? testkit::LoggedEvent() : found.front();
  }

  std::unique_ptr<testkit::ServerProcess> server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<bench::Bench::Stub> stub_;
};

}  // namespace process_test

#endif  // TESTS_PROCESS_SERVER_UNDER_TEST_H_
