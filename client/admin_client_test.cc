#include "client/admin_client.h"

#include <chrono>
#include <vector>

#include "client/error_details.h"
#include "client/testing/fake_server.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using admin::v1::State;
using testing::ElementsAre;

class AdminClientTest : public testing::Test {
 protected:
  std::unique_ptr<AdminClient> Connect() {
    ClientOptions options;
    options.timeout = std::chrono::seconds(60);
    auto client = AdminClient::Create(server_.address(), options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  FakeServer server_;
};

TEST_F(AdminClientTest, ReportsEachStateOfADrain) {
  server_.admin.drain.Then([](FakeAdmin::States& states) {
    for (const auto phase : {admin::v1::PHASE_LAME_DUCK, admin::v1::PHASE_DRAINING_CONNECTIONS}) {
      admin::v1::DrainResponse response;
      response.mutable_state()->set_phase(phase);
      states.Write(response);
    }
    return grpc::Status::OK;
  });
  std::vector<admin::v1::Phase> phases;
  EXPECT_TRUE(Connect()->Drain([&](const State& state) { phases.push_back(state.phase()); }).ok());
  EXPECT_THAT(phases,
              ElementsAre(admin::v1::PHASE_LAME_DUCK, admin::v1::PHASE_DRAINING_CONNECTIONS));
}

TEST_F(AdminClientTest, SaysWhyADrainEnded) {
  server_.admin.drain.Then([](FakeAdmin::States&) {
    return Refusal(grpc::StatusCode::ABORTED, "the drain was undone", "UNDRAINED");
  });
  EXPECT_EQ(ErrorReason(Connect()->Drain([](const State&) {})), "UNDRAINED");
}

TEST_F(AdminClientTest, GivesUpADrainThatTakesTooLong) {
  std::stop_source over;
  server_.admin.drain.Then([&](FakeAdmin::States&) {
    AwaitStop(over.get_token());
    return grpc::Status::OK;
  });
  EXPECT_TRUE(absl::IsDeadlineExceeded(
      Connect()->Drain([](const State&) {}, std::chrono::milliseconds(50))));
  over.request_stop();
}

TEST_F(AdminClientTest, UndoesADrainAndReturnsTheState) {
  server_.admin.undrain.Then([](State& state) {
    state.set_phase(admin::v1::PHASE_SERVING);
    return grpc::Status::OK;
  });
  server_.admin.get_state.Then([](State& state) {
    state.set_calls(3);
    return grpc::Status::OK;
  });
  const auto client = Connect();
  const auto undrained = client->Undrain();
  ASSERT_TRUE(undrained.ok()) << undrained.status();
  EXPECT_EQ(undrained->phase(), admin::v1::PHASE_SERVING);
  const auto state = client->GetState();
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->calls(), 3);
}

}  // namespace
}  // namespace client
