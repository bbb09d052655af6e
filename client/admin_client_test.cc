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
  const absl::Status end = Connect()->Drain([&](const State& state) {
    phases.push_back(state.phase());
    return true;
  });
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_THAT(phases,
              ElementsAre(admin::v1::PHASE_LAME_DUCK, admin::v1::PHASE_DRAINING_CONNECTIONS));
}

TEST_F(AdminClientTest, TakesTheLongestLimitOfADrainForNone) {
  server_.admin.drain.Then([](FakeAdmin::States& states) {
    states.Write({});
    return grpc::Status::OK;
  });
  const absl::Status end =
      Connect()->Drain([](const State&) { return true; }, std::chrono::milliseconds::max());
  EXPECT_TRUE(end.ok()) << end;
}

TEST_F(AdminClientTest, SaysWhyADrainEnded) {
  server_.admin.drain.Then([](FakeAdmin::States&) {
    return Refusal(grpc::StatusCode::ABORTED, "the drain was undone", "UNDRAINED");
  });
  EXPECT_EQ(ErrorReason(Connect()->Drain([](const State&) { return true; })), "UNDRAINED");
}

TEST_F(AdminClientTest, GivesUpADrainThatTakesTooLong) {
  std::stop_source over;
  for (int i = 0; i < 10; ++i) {
    server_.admin.drain.Then([over = over.get_token()](FakeAdmin::States& states) {
      states.Write({});
      AwaitStop(over);
      return grpc::Status::OK;
    });
  }
  const auto client = Connect();
  absl::Status end;
  bool drains = false;
  // On a busy machine the first limits may end before the call has left.
  for (int ms = 50; !drains && ms < 50000; ms *= 2) {
    const auto on_state = [&](const State&) { return drains = true; };
    end = client->Drain(on_state, std::chrono::milliseconds(ms));
  }
  over.request_stop();
  EXPECT_TRUE(drains);
  EXPECT_TRUE(absl::IsDeadlineExceeded(end)) << end;
}

TEST_F(AdminClientTest, EndsWithTheFirstStateThatIsRefused) {
  server_.admin.drain.Then([](FakeAdmin::States& states) {
    while (states.Write({})) {  // Until the client has gone.
    }
    return grpc::Status::OK;
  });
  int states = 0;
  const absl::Status end = Connect()->Drain([&](const State&) {
    ++states;
    return false;
  });
  EXPECT_TRUE(end.ok()) << end;
  EXPECT_EQ(states, 1);
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
