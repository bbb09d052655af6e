#include "service/observability/systemd_notifier.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "service/lifecycle/last_resort/exit_code.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/signal_thread.h"
#include "service/lifecycle/testing/ample_budget.h"
#include "service/lifecycle/testing/fake_traffic.h"
#include "tests/common/eventually.h"
#include "tests/common/notify_socket.h"
#include "tests/common/temp_dir.h"

namespace observability {
namespace {

using lifecycle::Clock;
using lifecycle::Event;
using lifecycle::EventType;
using lifecycle::Phase;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

constexpr Clock::Duration kNoWatchdog{};

class SystemdNotifierTest : public testing::Test {
 protected:
  SystemdNotifierTest() { lifecycle::BlockShutdownSignals(); }

  std::unique_ptr<SystemdNotifier> FromEnvironment() {
    return SystemdNotifier::FromEnvironment({.status_interval = milliseconds(1)});
  }

  // Nobody reads: the kernel holds some datagrams of each sender, and of all together as many as
  // net.unix.max_dgram_qlen says (10, or 512 where systemd has raised it), and refuses the rest.
  void Fill() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path_.copy(address.sun_path, sizeof address.sun_path - 1);
    for (int senders = 0; senders < 20; ++senders) {
      const int sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
      const auto accepted = [&] {
        return sendto(sender, "X", 1, 0, reinterpret_cast<const sockaddr*>(&address),
                      sizeof address) == 1;
      };
      const bool had_room = accepted();
      while (accepted()) continue;
      close(sender);
      if (!had_room) return;
    }
    ADD_FAILURE() << "systemd's socket has room for ever more";
  }

  const testkit::TempDir directory_{"/tmp"};  // Short enough for a socket's name.
  const std::string path_ = directory_.File("notify");
  testkit::NotifySocket systemd_{path_};
};

TEST_F(SystemdNotifierTest, TellsReadyStoppingAndThePhases) {
  SystemdNotifier notifier(path_, kNoWatchdog, {.status_interval = seconds(60)});
  const Clock::TimePoint now = Clock::Steady().Now();
  notifier.OnPhase(Phase::kServing, now, std::nullopt);
  notifier.OnEvent({EventType::kServing});
  notifier.OnEvent({EventType::kShutdownRequested});
  notifier.OnPhase(Phase::kSavingState, now, std::nullopt);
  notifier.OnEvent({EventType::kStateSaved});
  notifier.OnEnd({.exit_code = lifecycle::ExitCode::kClean});
  EXPECT_THAT(systemd_.Received(),
              ElementsAre("STATUS=Serving", "READY=1", "STOPPING=1", "STATUS=SavingState",
                          "STATUS=ended with exit code 0"));
}

TEST_F(SystemdNotifierTest, ReachesAnAbstractAddress) {
  const std::string name = "@systemd-notifier-test-" + std::to_string(getpid());
  testkit::NotifySocket abstract(name);
  SystemdNotifier notifier(name, kNoWatchdog, {});
  notifier.OnEvent({EventType::kServing});
  EXPECT_THAT(abstract.Received(), ElementsAre("READY=1"));
}

// It lives on; systemd would end it when its stop timeout is over.
TEST_F(SystemdNotifierTest, AManualDrainIsNoStop) {
  SystemdNotifier notifier(path_, kNoWatchdog, {});
  notifier.OnEvent({EventType::kManualDrainRequested});
  notifier.OnEvent({EventType::kLameDuckEntered});
  notifier.OnEvent({EventType::kDrained});
  EXPECT_THAT(systemd_.Received(), Not(Contains("STOPPING=1")));
  EXPECT_THAT(systemd_.Received().back(), HasSubstr("drained by an operator"));
}

TEST_F(SystemdNotifierTest, SaysHowLongAPhaseMayLast) {
  SystemdNotifier notifier(path_, kNoWatchdog, {});
  notifier.OnPhase(Phase::kDrainingCalls, Clock::Steady().Now(), seconds(3600));
  EXPECT_THAT(systemd_.Received().back(),
              MatchesRegex("STATUS=DrainingCalls, at most 3[56][0-9]+\\.[0-9]s more"));
}

// systemd ignores a message of more than 4,096 bytes.
TEST_F(SystemdNotifierTest, CutsALongStatusAtACharacter) {
  SystemdNotifier notifier(path_, kNoWatchdog, {});
  std::string why;
  for (int i = 0; i < 2000; ++i) why += "\xE2\x98\x83";
  notifier.OnEnd({.exit_code = lifecycle::ExitCode::kCloseFailed, .why = why});
  const std::string status = systemd_.Received().back();
  EXPECT_LE(status.size(), 2000U);
  EXPECT_GT(status.size(), 1990U);
  EXPECT_THAT(status, MatchesRegex("STATUS=ended with exit code 4: (\xE2\x98\x83)+\\.\\.\\."));
}

TEST_F(SystemdNotifierTest, ExtendsTheTimeoutOnlyIfAskedTo) {
  SystemdNotifier asked(path_, kNoWatchdog, {.extend_timeout = true});
  const SystemdNotifier::Options not_asked;
  SystemdNotifier silent(path_, kNoWatchdog, not_asked);
  for (SystemdNotifier* const each : {&silent, &asked}) {
    each->OnPhase(Phase::kLameDuck, Clock::Steady().Now(), seconds(5));  // Of a manual drain.
    each->OnEvent({EventType::kShutdownRequested});
    each->OnPhase(Phase::kDrainingCalls, Clock::Steady().Now(), seconds(5));
  }
  EXPECT_EQ(systemd_.Count("EXTEND_TIMEOUT_USEC=6000000"), 1);
}

TEST_F(SystemdNotifierTest, ExtendsTheTimeoutAlsoWhenTimeIsOver) {
  SystemdNotifier notifier(path_, kNoWatchdog, {.extend_timeout = true});
  notifier.OnEvent({EventType::kShutdownRequested});
  notifier.OnPhase(Phase::kSavingState, Clock::Steady().Now(), seconds(-5));
  EXPECT_EQ(systemd_.Count("EXTEND_TIMEOUT_USEC=1000000"), 1);
}

TEST_F(SystemdNotifierTest, ExtendsThePhaseInWhichADrainedServerIsStopped) {
  SystemdNotifier notifier(path_, kNoWatchdog,
                           {.extend_timeout = true, .status_interval = seconds(60)});
  lifecycle::FakeTraffic traffic;
  lifecycle::Process process(lifecycle::AmpleBudget(), notifier);
  traffic.connections = lifecycle::Traffic::Departure::kBusy;
  std::vector<std::string> told;
  traffic.on_call = [&](const std::string& step) {
    if (step != "AwaitConnectionsGone") return;
    if (!process.shutdown_request().reason()) {  // A manual drain waits without limit.
      process.shutdown_request().Request(lifecycle::ShutdownReason::kTerminate);
      return;
    }
    told = systemd_.Received();
    traffic.connections = lifecycle::Traffic::Departure::kGone;
  };
  process.manual_drain().Request();
  EXPECT_EQ(process.ServeUntilShutdown(traffic), 0);
  EXPECT_THAT(told, AllOf(Contains("STOPPING=1"), Contains(StartsWith("EXTEND_TIMEOUT_USEC=")),
                          Contains(StartsWith("STATUS=DrainingConnections, at most "))));
}

TEST_F(SystemdNotifierTest, SaysWhatHoldsTheShutdown) {
  SystemdNotifier notifier(path_, kNoWatchdog, {.status_interval = milliseconds(1)});
  lifecycle::FakeTraffic traffic;
  traffic.calls_that_do_not_finish = 2;
  traffic.tally = {.methods = {{.name = "/a.B/C", .left = 2}}};
  bool said = false;
  std::function<void()> expedite;
  traffic.on_call = [&](const std::string& step) {
    if (step != "BeginShutdown") return;
    said = systemd_.AwaitAny([](const std::string& message) {
      return message.starts_with("STATUS=DrainingCalls, at most ") &&
             message.ends_with("s more: calls running: 2 (2 /a.B/C)");
    });
    expedite();
  };
  lifecycle::Process process(lifecycle::AmpleBudget(), notifier);
  expedite = [&] { process.shutdown_request().Expedite(); };
  process.shutdown_request().Request(lifecycle::ShutdownReason::kTerminate);
  EXPECT_EQ(process.ServeUntilShutdown(traffic), static_cast<int>(lifecycle::ExitCode::kForced));
  EXPECT_TRUE(said);
}

TEST_F(SystemdNotifierTest, SignalsLifeWhileTheProcessIsAlive) {
  SystemdNotifier notifier(path_, milliseconds(2), {});
  EXPECT_TRUE(systemd_.Await("WATCHDOG=1"));  // It may be starting for long.
  lifecycle::FakeTraffic traffic;
  lifecycle::Process process(lifecycle::AmpleBudget(), notifier);
  std::future<int> code =
      std::async(std::launch::async, [&] { return process.ServeUntilShutdown(traffic); });
  EXPECT_TRUE(systemd_.Await("READY=1"));
  traffic.answers = false;
  // The last one may have been under way.
  EXPECT_TRUE(testkit::Eventually([&] { return traffic.refused >= 1; }));
  const auto before = systemd_.Count("WATCHDOG=1");
  EXPECT_TRUE(testkit::Eventually([&] { return traffic.refused >= 10; }));
  EXPECT_EQ(systemd_.Count("WATCHDOG=1"), before);
  traffic.answers = true;
  EXPECT_TRUE(testkit::Eventually([&] { return systemd_.Count("WATCHDOG=1") > before; }));
  process.shutdown_request().Request(lifecycle::ShutdownReason::kTerminate);
  EXPECT_EQ(code.get(), 0);
}

TEST_F(SystemdNotifierTest, SendsAgainWhatMattersWithoutWaiting) {
  // Nobody reads: the kernel holds a few datagrams, and refuses the rest.
  SystemdNotifier notifier(path_, kNoWatchdog, {.status_interval = milliseconds(1)});
  for (int i = 0; i < 10000; ++i) {
    notifier.OnPhase(Phase::kServing, Clock::Steady().Now(), std::nullopt);
  }
  notifier.OnEvent({EventType::kServing});
  EXPECT_TRUE(systemd_.Await("READY=1"));
}

// systemd kills a process whose next sign of life would come after the whole time.
TEST_F(SystemdNotifierTest, SendsARefusedSignOfLifeAgain) {
  Fill();
  SystemdNotifier notifier(path_, std::chrono::hours(1), {.status_interval = milliseconds(1)});
  lifecycle::FakeTraffic traffic;
  traffic.calls_that_do_not_finish = 1;
  bool refused = false, again = false;
  std::function<void()> expedite;
  traffic.on_call = [&](const std::string& step) {
    if (step != "BeginShutdown") return;
    // It looks for the status after the sign of life.
    refused = testkit::Eventually([&] { return traffic.tallied >= 1; });
    again = systemd_.Await("WATCHDOG=1");
    expedite();
  };
  lifecycle::Process process(lifecycle::AmpleBudget(), notifier);
  expedite = [&] { process.shutdown_request().Expedite(); };
  process.shutdown_request().Request(lifecycle::ShutdownReason::kTerminate);
  EXPECT_EQ(process.ServeUntilShutdown(traffic), static_cast<int>(lifecycle::ExitCode::kForced));
  EXPECT_TRUE(refused);
  EXPECT_TRUE(again);
}

TEST_F(SystemdNotifierTest, AsksAgainForTheTimeThatIsLeft) {
  SystemdNotifier notifier(path_, kNoWatchdog,
                           {.extend_timeout = true, .status_interval = milliseconds(1)});
  const Clock::TimePoint before = Clock::Steady().Now();
  Fill();
  notifier.OnEvent({EventType::kShutdownRequested});
  notifier.OnPhase(Phase::kDrainingCalls, before, seconds(3600));  // Refused.
  EXPECT_TRUE(systemd_.Await("EXTEND_TIMEOUT_USEC="));
  EXPECT_EQ(systemd_.Count("EXTEND_TIMEOUT_USEC=3601000000"), 0);
}

TEST_F(SystemdNotifierTest, IsNeverReadyAfterStopping) {
  SystemdNotifier notifier(path_, seconds(1), {.status_interval = milliseconds(500)});
  for (int i = 0; i < 10000; ++i) {
    notifier.OnPhase(Phase::kServing, Clock::Steady().Now(), std::nullopt);
  }
  notifier.OnEvent({EventType::kServing});          // Refused, and sent again later.
  const auto pings = systemd_.Count("WATCHDOG=1");  // Reads: now there is room.
  notifier.OnEvent({EventType::kShutdownRequested});
  ASSERT_TRUE(testkit::Eventually([&] { return systemd_.Count("WATCHDOG=1") > pings + 1; }));
  std::string last;
  for (const std::string& each : systemd_.Received()) {
    if (each == "READY=1" || each == "STOPPING=1") last = each;
  }
  EXPECT_EQ(last, "STOPPING=1");
}

TEST_F(SystemdNotifierTest, HidesItsEnvironmentFromChildren) {
  EXPECT_EQ(FromEnvironment(), nullptr);
  setenv("NOTIFY_SOCKET", path_.c_str(), 1);
  setenv("WATCHDOG_USEC", "2000", 1);
  setenv("WATCHDOG_PID", std::to_string(getpid()).c_str(), 1);
  {
    const auto notifier = FromEnvironment();
    ASSERT_NE(notifier, nullptr);
    EXPECT_TRUE(systemd_.Await("WATCHDOG=1"));
  }
  for (const char* each : {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}) {
    EXPECT_EQ(getenv(each), nullptr) << each;
  }
}

TEST_F(SystemdNotifierTest, LeavesTheWatchdogOfAnotherProcessAlone) {
  setenv("NOTIFY_SOCKET", path_.c_str(), 1);
  setenv("WATCHDOG_USEC", "2000", 1);
  setenv("WATCHDOG_PID", "1", 1);
  const auto notifier = FromEnvironment();
  ASSERT_NE(notifier, nullptr);
  std::this_thread::sleep_for(milliseconds(20));
  EXPECT_THAT(systemd_.Received(), IsEmpty());
}

TEST_F(SystemdNotifierTest, IgnoresASocketOfAnUnknownKind) {
  for (const char* name : {"", "@", "vsock:2:1234", "relative"}) {
    setenv("NOTIFY_SOCKET", name, 1);
    EXPECT_EQ(FromEnvironment(), nullptr) << name;
  }
}

}  // namespace
}  // namespace observability
