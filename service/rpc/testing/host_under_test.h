#ifndef SERVICE_RPC_TESTING_HOST_UNDER_TEST_H_
#define SERVICE_RPC_TESTING_HOST_UNDER_TEST_H_

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/channel.h"
#include "grpcpp/support/status.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/probe.grpc.pb.h"
#include "service/rpc/testing/probe_service.h"
#include "service/rpc/testing/raw_peer.h"
#include "tests/common/eventually.h"

namespace rpc {

// A server that serves ProbeService, and its callers.
class HostUnderTest : public ::testing::Test {
 protected:
  void Start(ServerHost::Options options = {}) {
    host_.emplace(std::move(options), Services(), goodbye_);
    const absl::Status started = host_->Start();
    ASSERT_TRUE(started.ok()) << started;
    const absl::Status opened = host_->Open();
    ASSERT_TRUE(opened.ok()) << opened;
  }

  std::vector<std::shared_ptr<grpc::Service>> Services() { return {service_}; }

  // Patience that is never used up when all is well.
  static lifecycle::Patience Long() {
    return lifecycle::Patience(lifecycle::Clock::Steady(), std::chrono::seconds(45), {});
  }

  // Ends the server as the sequence does, and it must not need force.
  void StopCleanly() {
    lifecycle::Patience patience = Long();
    host_->CloseListener();
    host_->SayGoodbye(patience, host_->Look().streams);
    EXPECT_NE(host_->AwaitConnectionsGone(patience), lifecycle::Traffic::Departure::kBusy);
    host_->BeginShutdown();
    EXPECT_FALSE(host_->AwaitCallsFinished(patience).any());
    EXPECT_TRUE(host_->Cancel(patience));
  }

  void TearDown() override {
    probe_.Release();
    if (host_ && RawConnection(host_->address()).connected()) host_->CloseListener();
  }

  // Waits until every call counts as ended: its caller has the answer a little earlier.
  bool AwaitNoCalls() {
    return testkit::Eventually([this] { return host_->TryCallsRunning() == 0; });
  }

  std::shared_ptr<grpc::Channel> Connect() const { return NewConnection(host_->address()); }

  static grpc::Status Echo(const std::shared_ptr<grpc::Channel>& channel,
                           const std::string& text = "hello") {
    probe::Note note, echo;
    note.set_text(text);
    const grpc::Status status = probe::Probe::NewStub(channel)->Echo(Bounded().get(), note, &echo);
    EXPECT_TRUE(!status.ok() || echo.text() == text);
    return status;
  }

  // A call on a thread of its own that ends when the test releases it.
  static std::future<grpc::Status> Hold(const std::shared_ptr<grpc::Channel>& channel,
                                        const std::string& text = "") {
    return std::async(std::launch::async, [channel, text] {
      probe::Note note, held;
      note.set_text(text);
      return probe::Probe::NewStub(channel)->Hold(Bounded().get(), note, &held);
    });
  }

  GoodbyeSignal goodbye_;
  const std::shared_ptr<ProbeService> service_ = std::make_shared<ProbeService>();
  ProbeService& probe_ = *service_;
  std::optional<ServerHost> host_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_TESTING_HOST_UNDER_TEST_H_
