// A real server, drained by hand: what operators and callers see, and that the
// process lives on and stops as ever.
#include <signal.h>

#include <cstddef>
#include <fstream>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "admin/v1/admin.grpc.pb.h"
#include "client/error_details.h"
#include "gmock/gmock.h"
#include "grpc/health/v1/health.pb.h"
#include "grpcpp/client_context.h"
#include "gtest/gtest.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/raw_peer.h"
#include "tests/common/child_process.h"
#include "tests/common/event_log.h"
#include "tests/common/eventually.h"
#include "tests/common/runfiles.h"
#include "tests/common/temp_dir.h"
#include "tests/process/open_stream.h"
#include "tests/process/server_under_test.h"
#include "tests/servers/echo/bench.grpc.pb.h"

namespace process_test {
namespace {

using admin::v1::AdminService;
using admin::v1::State;
using grpc::health::v1::HealthCheckResponse;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Property;
using testkit::Ending;

const std::vector<std::string> kShortLameDuck = {"--shutdown_lame_duck=0"};
// It does not end in the time of a test.
const std::vector<std::string> kLongLameDuck = {"--shutdown_lame_duck=10m"};

class DrainTest : public ServerUnderTest {
 protected:
  ~DrainTest() override { server_.reset(); }  // Before its directory.

  void Start(std::vector<std::string> flags) {
    flags.insert(flags.end(), {"--termination_grace=1h", "--admin_address=127.0.0.1:0",
                               "--admin_port_file=" + directory_.File("admin")});
    ASSERT_NO_FATAL_FAILURE(ServerUnderTest::Start("tests/servers/echo/echo_server", flags));
    AwaitEvent("Serving");  // Before it, there is nothing to drain.
    std::ifstream(directory_.File("admin")) >> admin_address_;
    admin_ = AdminService::NewStub(rpc::NewConnection(admin_address_));
  }

  // Whether a call is answered, and with the hint.
  bool EchoIsHinted() {
    const auto context = rpc::Bounded();
    bench::EchoReply reply;
    const grpc::Status status = stub_->Echo(context.get(), {}, &reply);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return context->GetServerTrailingMetadata().count("draining") == 1;
  }

  State GetState() {
    admin::v1::GetStateResponse response;
    const grpc::Status status = admin_->GetState(rpc::Bounded().get(), {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response.state();
  }

  // Blocks until the server stands so.
  template <typename Condition>
  void AwaitState(Condition condition) {
    ASSERT_TRUE(testkit::Eventually([&] { return condition(GetState()); })) << Output();
  }

  // `client ARGUMENTS --admin=...`: what it printed, when it ended well.
  std::string Client(const std::string& command, int exit_code = 0) {
    testkit::ChildProcess client(
        {testkit::RunfileOrDie("client/client"), command, "--admin=" + admin_address_});
    EXPECT_EQ(client.Wait(kLimit), Ending::Exited(exit_code)) << client.Output();
    return client.Output();
  }

  const testkit::TempDir directory_;
  std::string admin_address_;
  std::unique_ptr<AdminService::Stub> admin_;
};

// A caller of Drain who reads each state as it comes.
class Operator {
 public:
  explicit Operator(AdminService::Stub& admin)
      : reader_(admin.Drain(context_.get(), {})), reading_([this] {
          admin::v1::DrainResponse response;
          while (reader_->Read(&response)) states_.push_back(response.state());
          status_ = reader_->Finish();
        }) {}

  // Waits until the stream has ended.
  grpc::Status AwaitEnd() {
    reading_.join();
    return status_;
  }

  // Requires: the stream has ended.
  const std::vector<State>& states() const { return states_; }

 private:
  const std::unique_ptr<grpc::ClientContext> context_ = rpc::Bounded();
  const std::unique_ptr<grpc::ClientReader<admin::v1::DrainResponse>> reader_;
  std::vector<State> states_;
  grpc::Status status_;
  std::jthread reading_;
};

// Calls one after the other until it is told to leave, or finds that the server is not to be
// reached any more, as one must whose only server has asked it to go elsewhere; all calls must
// be answered.
class BusyCaller {
 public:
  explicit BusyCaller(const std::string& address)
      : calling_(
            [stub = bench::Bench::NewStub(rpc::NewConnection(address))](std::stop_token leave) {
              while (!leave.stop_requested()) {
                bench::EchoReply reply;
                const grpc::Status status = stub->Echo(rpc::Bounded().get(), {}, &reply);
                if (status.error_message().find("Connection refused") != std::string::npos) return;
                EXPECT_TRUE(status.ok()) << status.error_message();
              }
            }) {}

  void Leave() {
    calling_.request_stop();
    calling_.join();
  }

 private:
  std::jthread calling_;
};

TEST_F(DrainTest, AnswersEveryCallAndReportsItsProgress) {
  Start({"--shutdown_lame_duck=3s"});
  const auto call = AcceptedHold();
  AwaitState([](const State& state) { return state.calls() == 1; });
  BusyCaller busy(address());
  Operator drain(*admin_);
  AwaitState([](const State& state) { return state.hinted_calls() > 10; });
  busy.Leave();
  AwaitState([](const State& state) {
    return state.phase() == admin::v1::PHASE_DRAINING_CONNECTIONS && state.calls() == 1;
  });
  const grpc::Status held = call->Release();
  EXPECT_TRUE(held.ok()) << held.error_message();

  const grpc::Status end = drain.AwaitEnd();
  EXPECT_TRUE(end.ok()) << end.error_message();
  ASSERT_GE(drain.states().size(), 2u);
  for (std::size_t i = 0; i < drain.states().size(); ++i) {
    EXPECT_EQ(drain.states()[i].drained(), i + 1 == drain.states().size()) << "only the last one";
  }
  EXPECT_THAT(drain.states(), Contains(Property(&State::phase, admin::v1::PHASE_LAME_DUCK)));
  EXPECT_EQ(drain.states().back().calls(), 0);

  EXPECT_TRUE(Runs());
  bench::EchoReply reply;
  EXPECT_EQ(bench::Bench::NewStub(rpc::NewConnection(address()))
                ->Echo(rpc::Bounded().get(), {}, &reply)
                .error_code(),
            grpc::UNAVAILABLE);
  AwaitEvent("Drained");
  EXPECT_THAT(EventNames(), ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered",
                                        "ListenerClosed", "GoodbyeSaid", "Drained"));
  EXPECT_TRUE(GetState().drained());

  process().Signal(SIGTERM);
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "Drained", "ShutdownRequested", "ConnectionsGone",
                          "NewCallsRefused", "CallsFinished", "ServerStopped", "WorkersStopped",
                          "Closed", "Stopped"))
      << Output();
  EXPECT_EQ(Output().find("nobody is refused"), std::string::npos);
}

TEST_F(DrainTest, UndoneInTheLameDuckServesAsBefore) {
  Start(kLongLameDuck);
  OpenStream watch(rpc::NewConnection(address()), "/grpc.health.v1.Health/Watch", "", kLimit);
  const auto health = [&watch] {
    HealthCheckResponse update;
    EXPECT_TRUE(update.ParseFromString(watch.Read().value_or("no message")));
    return update.status();
  };
  EXPECT_EQ(health(), HealthCheckResponse::SERVING);
  EXPECT_FALSE(EchoIsHinted());
  for (int i = 0; i < 2; ++i) {
    Operator drain(*admin_);
    EXPECT_EQ(health(), HealthCheckResponse::NOT_SERVING);
    EXPECT_TRUE(EchoIsHinted());
    admin::v1::UndrainResponse response;
    const grpc::Status undrained = admin_->Undrain(rpc::Bounded().get(), {}, &response);
    EXPECT_TRUE(undrained.ok()) << undrained.error_message();
    EXPECT_EQ(response.state().phase(), admin::v1::PHASE_SERVING);
    EXPECT_EQ(health(), HealthCheckResponse::SERVING);
    EXPECT_FALSE(EchoIsHinted());
    EXPECT_EQ(client::ErrorReason(client::FromGrpc(drain.AwaitEnd())), "UNDRAINED");
  }
  process().Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered", "Serving",
                          "ManualDrainRequested", "LameDuckEntered", "Serving", "ShutdownRequested",
                          "ListenerClosed", "GoodbyeSaid",
                          AnyOf("ConnectionsGone", "ConnectionsRemain"), "NewCallsRefused",
                          "CallsFinished", "ServerStopped", "WorkersStopped", "Closed", "Stopped"))
      << Output();
}

TEST_F(DrainTest, CanBeUndoneThroughoutACallerlessLameDuck) {
  Start({"--shutdown_lame_duck=10s"});
  Operator drain(*admin_);
  for (const bool late : {false, true}) {
    AwaitState([late](const State& state) {
      return state.phase() == admin::v1::PHASE_LAME_DUCK &&
             (state.time_left().seconds() < 5) == late;  // Of ten.
    });
  }
  admin::v1::UndrainResponse response;
  const grpc::Status undrained = admin_->Undrain(rpc::Bounded().get(), {}, &response);
  EXPECT_TRUE(undrained.ok()) << undrained.error_message();
  EXPECT_EQ(response.state().phase(), admin::v1::PHASE_SERVING);
  EXPECT_EQ(client::ErrorReason(client::FromGrpc(drain.AwaitEnd())), "UNDRAINED");
  EXPECT_FALSE(EchoIsHinted());
}

TEST_F(DrainTest, CannotBeUndoneOnceCallersAreTurnedAway) {
  Start(kShortLameDuck);
  Operator drain(*admin_);
  EXPECT_TRUE(drain.AwaitEnd().ok());
  admin::v1::UndrainResponse response;
  const absl::Status undrained =
      client::FromGrpc(admin_->Undrain(rpc::Bounded().get(), {}, &response));
  EXPECT_TRUE(absl::IsFailedPrecondition(undrained)) << undrained;
  EXPECT_EQ(client::ErrorReason(undrained), "UNDRAIN_TOO_LATE");
  EXPECT_TRUE(Runs());
}

TEST_F(DrainTest, ASigtermInItsLameDuckLosesNothing) {
  Start({"--shutdown_lame_duck=10s"});
  BusyCaller busy(address());
  Operator drain(*admin_);
  AwaitState([](const State& state) { return state.hinted_calls() > 10; });
  process().Signal(SIGTERM);
  AwaitEvent("GoodbyeSaid");
  busy.Leave();
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_TRUE(drain.AwaitEnd().ok());
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered", "ShutdownRequested",
                          "ListenerClosed", "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused",
                          "CallsFinished", "ServerStopped", "WorkersStopped", "Closed", "Stopped"))
      << Output();
}

TEST_F(DrainTest, ASigtermDuringItGivesCallersTheirTime) {
  Start(kShortLameDuck);
  const auto call = AcceptedHold();
  Operator drain(*admin_);
  AwaitEvent("GoodbyeSaid");
  process().Signal(SIGTERM);
  AwaitEvent("ShutdownRequested");
  const grpc::Status held = call->Release();
  EXPECT_TRUE(held.ok()) << held.error_message();
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_TRUE(drain.AwaitEnd().ok());
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ShutdownRequested", "ConnectionsGone", "NewCallsRefused",
                          "CallsFinished", "ServerStopped", "WorkersStopped", "Closed", "Stopped"))
      << Output();
}

TEST_F(DrainTest, ASecondSignalEndsTheFirstsWaits) {
  Start(kLongLameDuck);
  Operator drain(*admin_);
  AwaitEvent("LameDuckEntered");
  process().Signal(SIGTERM);
  AwaitEvent("ShutdownRequested");  // The rest of the lame duck is left to it.
  process().Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(0));
  EXPECT_TRUE(drain.AwaitEnd().ok());
  EXPECT_THAT(EventNames(),
              ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered", "ShutdownRequested",
                          "ListenerClosed", "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused",
                          "CallsFinished", "ServerStopped", "WorkersStopped", "Closed", "Stopped"))
      << Output();
}

TEST_F(DrainTest, ASigtermDuringAnUndoAnswersEverybody) {
  for (const char* when : {"Serving", "ManualDrainRequested", "LameDuckEntered"}) {
    Start(kShortLameDuck);
    Operator drain(*admin_);
    AwaitEvent(when);
    grpc::Status undrained;
    std::jthread undraining([&] {
      admin::v1::UndrainResponse response;
      undrained = admin_->Undrain(rpc::Bounded().get(), {}, &response);
    });
    process().Signal(SIGTERM);
    EXPECT_EQ(Wait(), Ending::Exited(0)) << Output();
    undraining.join();
    EXPECT_NE(undrained.error_code(), grpc::DEADLINE_EXCEEDED);
    EXPECT_NE(drain.AwaitEnd().error_code(), grpc::DEADLINE_EXCEEDED);
  }
}

TEST_F(DrainTest, SilentOperatorsDoNotDelayTheShutdown) {
  Start(kLongLameDuck);
  OpenStream deaf(rpc::NewConnection(admin_address_), "/admin.v1.AdminService/Drain", "", kLimit);
  OpenStream health(rpc::NewConnection(admin_address_), "/grpc.health.v1.Health/Watch", "", kLimit);
  Operator drain(*admin_);
  AwaitEvent("LameDuckEntered");
  process().Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(0));
  const grpc::Status end = drain.AwaitEnd();
  EXPECT_TRUE(end.ok()) << end.error_message();
  EXPECT_GT(drain.states().back().phase(), admin::v1::PHASE_DRAINING_CONNECTIONS);
  EXPECT_FALSE(health.Finish().ok());
}

TEST_F(DrainTest, AnOperatorWhoseAnswerWasCutIsReported) {
  Start(kLongLameDuck);
  rpc::RawPeer deaf(admin_address_);
  // SETTINGS_INITIAL_WINDOW_SIZE = 0: not a byte of an answer may be sent.
  deaf.Send({rpc::RawPeer::kSettings, 0, 0, std::string("\0\4\0\0\0\0", 6)});
  deaf.Call("/admin.v1.AdminService/Drain", "");
  AwaitEvent("LameDuckEntered");
  process().Signal(SIGINT);
  EXPECT_EQ(Wait(), Ending::Exited(4));
  const testkit::LoggedEvent failed = Event("CloseFailed");
  EXPECT_EQ(failed.subject, "admin server");
  EXPECT_EQ(failed.detail, "DEADLINE_EXCEEDED: 1 operator calls were cut");
}

TEST_F(DrainTest, WithoutAnAdminAddressNothingIsServed) {
  ASSERT_NO_FATAL_FAILURE(ServerUnderTest::Start("tests/servers/echo/echo_server", {}));
  admin::v1::GetStateResponse response;
  EXPECT_EQ(
      AdminService::NewStub(channel_)->GetState(rpc::Bounded().get(), {}, &response).error_code(),
      grpc::UNIMPLEMENTED);
}

TEST_F(DrainTest, IsRequestedOnTheCommandLine) {
  Start({"--shutdown_lame_duck=2s"});
  EXPECT_THAT(Client("state"), HasSubstr("SERVING "));
  EXPECT_THAT(Client("drain"), AllOf(HasSubstr("LAME_DUCK "), HasSubstr("DRAINING_CONNECTIONS "),
                                     HasSubstr("  drained\n")));
  EXPECT_THAT(Client("undrain", /*exit_code=*/2), HasSubstr("the lame duck is over"));
  EXPECT_THAT(Client("state"), HasSubstr("  drained\n"));
  EXPECT_TRUE(Runs());
}

}  // namespace
}  // namespace process_test
