#include "service/admin/admin_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "admin/v1/admin.grpc.pb.h"
#include "grpc/health/v1/health.grpc.pb.h"
#include "service/admin/testing/http_caller.h"
#include "service/lifecycle/process.h"
#include "service/lifecycle/signal_thread.h"
#include "service/lifecycle/testing/ample_budget.h"
#include "service/lifecycle/testing/fake_traffic.h"
#include "service/lifecycle/testing/recording_observer.h"
#include "service/observability/log_writer.h"
#include "service/observability/process_log.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/server_host.h"
#include "service/rpc/status.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/self_signed.h"
#include "service/rpc/testing/status_details.h"
#include "service/rpc/tls/tls_files.h"
#include "tests/common/eventually.h"

namespace admin {
namespace {

using lifecycle::ShutdownReason;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::unique_ptr<grpc::ClientContext> Bounded() {
  auto context = std::make_unique<grpc::ClientContext>();
  context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
  return context;
}

// "UNAVAILABLE STARTING"
std::string Refusal(const grpc::Status& status) {
  return rpc::CodeAndReason(rpc::FromGrpc(status), "admin.v1");
}

// A caller of Drain.
class OpenDrain {
 public:
  explicit OpenDrain(v1::AdminService::Stub& stub)
      : reader_(stub.Drain(context_.get(), v1::DrainRequest())) {}

  // Reads until there is a state of this phase. False: the stream has ended without.
  bool Await(v1::Phase phase) {
    v1::DrainResponse response;
    while (reader_->Read(&response)) {
      last_ = response.state();
      if (last_.phase() == phase) return true;
    }
    return false;
  }

  grpc::Status AwaitEnd() {
    Await(v1::PHASE_UNSPECIFIED);
    return reader_->Finish();
  }

  void GoAway() { context_->TryCancel(); }

  const v1::State& last() const { return last_; }

 private:
  const std::unique_ptr<grpc::ClientContext> context_ = Bounded();
  const std::unique_ptr<grpc::ClientReader<v1::DrainResponse>> reader_;
  v1::State last_;
};

class AdminServerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { lifecycle::BlockShutdownSignals(); }

  explicit AdminServerTest(lifecycle::Clock::Duration lame_duck = {}) {
    const std::string port_file = testing::TempDir() + "admin_port";
    lifecycle::ShutdownBudget budget = lifecycle::AmpleBudget();
    budget.lame_duck = lame_duck;
    process_.emplace(budget, observer_);
    admin_.emplace(*process_,
                   AdminServer::Options{.grpc = {.address = "127.0.0.1:0", .port_file = port_file},
                                        .http = {.address = "127.0.0.1:0"}});
    EXPECT_TRUE(admin_->Start().ok());
    std::string address;
    std::ifstream(port_file) >> address;
    channel_ = rpc::NewConnection(address);
    stub_ = v1::AdminService::NewStub(channel_);
  }

  ~AdminServerTest() override {
    if (exit_code_.valid()) Stop(ShutdownReason::kInterrupt);
    if (!served_) process_->CouldNotStart(absl::UnavailableError("the test is over"));
  }

  void Serve() {
    served_ = true;
    exit_code_ =
        std::async(std::launch::async, [this] { return process_->ServeUntilShutdown(traffic_); });
    observer_.Await("Serving");
  }

  void Stop(ShutdownReason reason = ShutdownReason::kTerminate) {
    process_->shutdown_request().Request(reason);
    EXPECT_EQ(exit_code_.get(), 0);
  }

  v1::State State() {
    v1::GetStateResponse response;
    EXPECT_TRUE(stub_->GetState(Bounded().get(), {}, &response).ok());
    return response.state();
  }

  std::string HttpAddress() const {
    const std::string url = admin_->http_url();  // "http://127.0.0.1:41234/"
    return url.substr(7, url.size() - 8);
  }

  HttpAnswer Ask(const std::string& path) { return Get(HttpAddress(), path); }

  // "200 503": of /livez and /readyz.
  std::string Probes() { return absl::StrCat(Ask("/livez").status, " ", Ask("/readyz").status); }

  bool IsHealthy(const std::string& service) {
    grpc::health::v1::HealthCheckRequest request;
    request.set_service(service);
    grpc::health::v1::HealthCheckResponse response;
    const grpc::Status status =
        grpc::health::v1::Health::NewStub(channel_)->Check(Bounded().get(), request, &response);
    return status.ok() && response.status() == grpc::health::v1::HealthCheckResponse::SERVING;
  }

  grpc::Status Undrain(v1::UndrainResponse* response) {
    return stub_->Undrain(Bounded().get(), {}, response);
  }

  lifecycle::RecordingObserver observer_;
  lifecycle::FakeTraffic traffic_;
  std::optional<lifecycle::Process> process_;
  std::optional<AdminServer> admin_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::AdminService::Stub> stub_;
  bool served_ = false;
  std::future<int> exit_code_;
};

TEST_F(AdminServerTest, ServesNobodyWithoutAnAddress) {
  AdminServer nobody(*process_, {});
  EXPECT_TRUE(nobody.Start().ok());
}

TEST_F(AdminServerTest, SaysWhyItCannotStart) {
  AdminServer nowhere(*process_, {.grpc = {.address = "nowhere"}});
  EXPECT_FALSE(nowhere.Start().ok());
}

TEST_F(AdminServerTest, ReportsTheStateOfTheProcess) {
  EXPECT_EQ(State().phase(), v1::PHASE_STARTING);
  traffic_.load = {.connections = 5, .calls = 3, .streams = 2, .hinted = 4};
  Serve();
  const v1::State state = State();
  EXPECT_EQ(state.phase(), v1::PHASE_SERVING);
  EXPECT_FALSE(state.has_time_left());
  EXPECT_FALSE(state.drained());
  EXPECT_EQ(state.connections(), 5);
  EXPECT_EQ(state.calls(), 3);
  EXPECT_EQ(state.streams(), 2);
  EXPECT_EQ(state.hinted_calls(), 4);
}

TEST_F(AdminServerTest, RefusesToDrainBeforeServing) {
  OpenDrain draining(*stub_);
  EXPECT_EQ(Refusal(draining.AwaitEnd()), "UNAVAILABLE STARTING");
  v1::UndrainResponse response;
  EXPECT_EQ(Refusal(Undrain(&response)), "UNAVAILABLE STARTING");
  EXPECT_THAT(observer_.Lines(), IsEmpty());
}

TEST_F(AdminServerTest, ReportsADrainUntilItIsComplete) {
  Serve();
  OpenDrain draining(*stub_);
  const grpc::Status status = draining.AwaitEnd();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(draining.last().phase(), v1::PHASE_DRAINING_CONNECTIONS);
  EXPECT_TRUE(draining.last().drained());
  EXPECT_FALSE(draining.last().has_time_left());
  EXPECT_TRUE(State().drained());
  // It is done for whoever comes later, too.
  OpenDrain again(*stub_);
  EXPECT_TRUE(again.AwaitEnd().ok());
  EXPECT_TRUE(again.last().drained());
  Stop();
  EXPECT_THAT(observer_.Lines(),
              ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "Drained", "ShutdownRequested", "ConnectionsGone",
                          "NewCallsRefused", "CallsFinished", "ServerStopped", "WorkersStopped",
                          "Closed admin server", "Closed admin HTTP", "Stopped"));
}

// Whose lame duck lasts.
class LameDuckTest : public AdminServerTest {
 protected:
  LameDuckTest() : AdminServerTest(std::chrono::hours(1)) {}
};

TEST_F(LameDuckTest, UndoesADrainDuringTheLameDuck) {
  Serve();
  OpenDrain draining(*stub_);
  ASSERT_TRUE(draining.Await(v1::PHASE_LAME_DUCK));
  EXPECT_GT(draining.last().time_left().seconds(), 3000);
  EXPECT_LE(draining.last().time_left().seconds(), 3600);
  // A second caller joins.
  OpenDrain second(*stub_);
  ASSERT_TRUE(second.Await(v1::PHASE_LAME_DUCK));
  v1::UndrainResponse response;
  const grpc::Status undrained = Undrain(&response);
  EXPECT_TRUE(undrained.ok()) << undrained.error_message();
  EXPECT_EQ(response.state().phase(), v1::PHASE_SERVING);
  for (OpenDrain* each : {&draining, &second}) {
    EXPECT_EQ(Refusal(each->AwaitEnd()), "ABORTED UNDRAINED");
  }
  EXPECT_TRUE(Undrain(&response).ok()) << "there is none any more";
}

TEST_F(AdminServerTest, RefusesUndrainAfterTheLameDuck) {
  Serve();
  OpenDrain draining(*stub_);
  EXPECT_TRUE(draining.AwaitEnd().ok());
  v1::UndrainResponse response;
  const grpc::Status status = Undrain(&response);
  EXPECT_EQ(Refusal(status), "FAILED_PRECONDITION UNDRAIN_TOO_LATE");
  EXPECT_THAT(status.error_message(), testing::HasSubstr("the lame duck is over"));
}

TEST_F(AdminServerTest, KeepsDrainingWhenItsClientDisconnects) {
  traffic_.connections = lifecycle::Traffic::Departure::kBusy;
  Serve();
  OpenDrain first(*stub_);
  ASSERT_TRUE(first.Await(v1::PHASE_DRAINING_CONNECTIONS));
  first.GoAway();
  EXPECT_EQ(first.AwaitEnd().error_code(), grpc::CANCELLED);
  OpenDrain second(*stub_);
  ASSERT_TRUE(second.Await(v1::PHASE_DRAINING_CONNECTIONS));
  EXPECT_FALSE(second.last().drained());
  traffic_.connections = lifecycle::Traffic::Departure::kGone;
}

TEST_F(LameDuckTest, OpenStreamEndsWithoutDelayingTheShutdown) {
  Serve();
  OpenDrain draining(*stub_);
  ASSERT_TRUE(draining.Await(v1::PHASE_LAME_DUCK));
  Stop(ShutdownReason::kInterrupt);
  const grpc::Status status = draining.AwaitEnd();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_GT(draining.last().phase(), v1::PHASE_DRAINING_CONNECTIONS);
  EXPECT_FALSE(draining.last().drained());
}

TEST_F(AdminServerTest, IsClosedAfterEverythingElse) {
  const auto closes = [](lifecycle::Clock::TimePoint) { return absl::OkStatus(); };
  process_->registry().Register("channel", closes,
                                {.uses = lifecycle::ShutdownRegistry::kUsesNothing});
  Serve();
  EXPECT_EQ(State().phase(), v1::PHASE_SERVING);  // Somebody is connected.
  Stop();
  EXPECT_THAT(observer_.Lines(),
              ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered", "ListenerClosed",
                          "GoodbyeSaid", "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                          "ServerStopped", "WorkersStopped", "Closed channel",
                          "Closed admin server", "Closed admin HTTP", "Stopped"));
}

TEST_F(AdminServerTest, IsAliveToTheEndReadyWhileServing) {
  traffic_.on_call = [this](const std::string& step) { observer_.Note(step + ": " + Probes()); };
  process_->registry().Register("channel", [this](lifecycle::Clock::TimePoint) {
    observer_.Note("close: " + Probes() + (IsHealthy("livez") ? " SERVING" : ""));
    return absl::OkStatus();
  });
  observer_.Note("start: " + Probes());
  Serve();
  EXPECT_EQ(Probes(), "200 200");
  Stop();
  EXPECT_THAT(
      observer_.Lines(),
      ElementsAre("start: 200 503", "Listen: 200 503", "OpenListener: 200 503", "Serving",
                  "ShutdownRequested", "EnterLameDuck: 200 503", "LameDuckEntered",
                  "CloseListener: 200 503", "ListenerClosed", "SayGoodbye: 200 503", "GoodbyeSaid",
                  "AwaitConnectionsGone: 200 503", "ConnectionsGone", "BeginShutdown: 200 503",
                  "NewCallsRefused", "AwaitCallsFinished: 200 503", "CallsFinished",
                  "Cancel: 200 503", "ServerStopped", "WorkersStopped", "close: 200 503 SERVING",
                  "Closed channel", "Closed admin server", "Closed admin HTTP", "Stopped"));
  EXPECT_EQ(Probes(), "0 0");
}

TEST_F(AdminServerTest, IsAliveWhenItIsDrained) {
  Serve();
  OpenDrain draining(*stub_);
  EXPECT_TRUE(draining.AwaitEnd().ok());
  EXPECT_EQ(Probes(), "200 503");
  EXPECT_TRUE(IsHealthy("livez"));
  EXPECT_TRUE(IsHealthy(""));  // Of this address; the main one's says whether it is ready.
}

TEST_F(AdminServerTest, IsNotAliveWhenItsServerServesNobody) {
  Serve();
  traffic_.answers = false;
  EXPECT_EQ(Ask("/livez").body,
            "all of gRPC's threads are blocked: while calls are running, or for a minute\n");
  EXPECT_EQ(Probes(), "503 200");
  traffic_.answers = true;
  EXPECT_EQ(Probes(), "200 200");
}

TEST_F(AdminServerTest, LivenessIsAHealthServiceByName) {
  EXPECT_TRUE(IsHealthy("livez"));
  EXPECT_FALSE(IsHealthy("readyz"));
}

TEST_F(AdminServerTest, TellsWhatItsChecksSay) {
  bool reachable = true;
  admin_->pages().Add({"database", [] { return absl::OkStatus(); }});
  admin_->pages().Add({"inventory", [&reachable] {
                         return reachable ? absl::OkStatus()
                                          : absl::UnavailableError("not connected");
                       }});
  EXPECT_EQ(Ask("/readyz?verbose").body,
            "[-]phase: Starting\n[+]database: ok\n[+]inventory: ok\n"
            "not ready: the phase is Starting\n");
  Serve();
  reachable = false;
  const HttpAnswer informed = Ask("/readyz?verbose");
  EXPECT_EQ(informed.status, 200) << "what all replicas share takes none out of rotation";
  EXPECT_EQ(informed.body,
            "[+]phase: Serving\n[+]database: ok\n[-]inventory: UNAVAILABLE: not connected\n"
            "ready\n");
  EXPECT_EQ(Ask("/readyz").body, "ready\n");
}

TEST_F(AdminServerTest, ACheckCannotForgeALine) {
  admin_->pages().Add({"inventory", [] { return absl::UnavailableError("a\n[+]b\x1b[2J"); }});
  EXPECT_EQ(Ask("/readyz?verbose").body,
            "[-]phase: Starting\n[-]inventory: UNAVAILABLE: a\\n[+]b\\x1b[2J\n"
            "not ready: the phase is Starting\n");
}

TEST_F(AdminServerTest, ACheckThatThrowsFailsAlone) {
  admin_->pages().Add({"database", []() -> absl::Status { throw std::runtime_error("no pool"); }});
  admin_->pages().Add({"queue", []() -> absl::Status { throw 42; }});
  EXPECT_EQ(Ask("/readyz?verbose").body,
            "[-]phase: Starting\n[-]database: INTERNAL: threw: no pool\n"
            "[-]queue: INTERNAL: threw something that is not a std::exception\n"
            "not ready: the phase is Starting\n");
  EXPECT_THAT(Ask("/statusz").body, HasSubstr("threw: no pool"));
}

TEST_F(AdminServerTest, IsReadyWhileACheckBlocks) {
  std::promise<void> blocked;
  std::promise<void> released;
  admin_->pages().Add({"database", [&] {
                         blocked.set_value();
                         released.get_future().wait();
                         return absl::OkStatus();
                       }});
  Serve();
  HttpCaller verbose(HttpAddress());
  ASSERT_TRUE(verbose.Send("GET /readyz?verbose HTTP/1.1\r\n\r\n"));
  blocked.get_future().wait();
  EXPECT_EQ(Probes(), "200 200");
  released.set_value();
  EXPECT_EQ(verbose.AwaitAnswer().body, "[+]phase: Serving\n[+]database: ok\nready\n");
}

TEST_F(AdminServerTest, TellsWhenTheCertificateExpires) {
  const rpc::SelfSigned identity;
  const std::string path = testing::TempDir() + "identity";
  std::ofstream(path) << identity.certificate << identity.key;
  const auto files = rpc::TlsFiles::Open({.certificate = path, .key = path});
  ASSERT_TRUE(files.ok()) << files.status();
  admin_->pages().Show(nullptr);
  admin_->pages().Show(*files);
  const std::string metrics = Ask("/metrics").body;
  EXPECT_THAT(metrics, testing::HasSubstr(absl::StrCat(
                           "\ntls_certificate_expiry_timestamp_seconds ", (*files)->expires())));
  EXPECT_THAT(metrics, testing::HasSubstr(absl::StrCat(
                           "\ntls_certificate_renewal_timestamp_seconds ", (*files)->renew_by())));
}

TEST_F(AdminServerTest, ShowsAGaugeOfYourOwn) {
  admin_->pages().AddGauge("greeter:queue_2", "How long.", [] { return 3.0; });
  EXPECT_THAT(Ask("/metrics").body,
              HasSubstr("\n# HELP greeter:queue_2 How long.\n# TYPE greeter:queue_2 gauge\n"
                        "greeter:queue_2 3\n"));
}

TEST_F(AdminServerTest, LeavesOutAndNamesAGaugeThatThrows) {
  const std::string path = testing::TempDir() + "gauge_log";
  const int file = open(path.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  observability::LogWriter writer("test", file);
  observability::ProcessLog log("test", "", writer);
  admin_->pages().Show(log, {});
  admin_->pages().AddGauge("greeter_queue", "How long.",
                           []() -> double { throw std::runtime_error("no\nqueue"); });
  admin_->pages().AddGauge("greeter_other", "How many.", [] { return 3.0; });
  for (int i = 0; i < 2; ++i) {
    const HttpAnswer answer = Ask("/metrics");
    EXPECT_EQ(answer.status, 200);
    EXPECT_THAT(answer.body, HasSubstr("\ngreeter_other 3\n"));
    EXPECT_THAT(answer.body, testing::Not(HasSubstr("greeter_queue")));
  }
  ASSERT_TRUE(writer.Flush(std::chrono::minutes(1)));
  std::ifstream lines(path);
  std::string line, another;
  EXPECT_TRUE(std::getline(lines, line));
  EXPECT_THAT(
      line, testing::AllOf(HasSubstr(" W test: "), HasSubstr("greeter_queue: threw: no\\nqueue")));
  EXPECT_FALSE(std::getline(lines, another)) << another;
  close(file);
}

// Prometheus would refuse all metrics.
using AdminServerDeathTest = AdminServerTest;
TEST_F(AdminServerDeathTest, AcceptsNoGaugeThatCannotBeRead) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto add = [&](const std::string& name, const std::string& help = "How long.") {
    admin_->pages().AddGauge(name, help, [] { return 3.0; });
  };
  for (const char* name : {"", "greeter-queue", "greeter queue", "2nd", "gre\xc3\xa4ter"}) {
    EXPECT_DEATH(add(name), "a metric may not be called \"") << name;
  }
  EXPECT_DEATH(add("greeter_queue", "How\nlong."), "greeter_queue is not one line");
  EXPECT_DEATH(add("greeter_queue", "Wie h\xe4ufig."), "greeter_queue is not one line of UTF-8");
  add("greeter_queue", "Wie h\xc3\xa4ufig.");
  EXPECT_DEATH(add("greeter_queue"), "there is a metric called greeter_queue already");
}

// Those of a server come once it is shown, some only with a call or in the shutdown.
TEST_F(AdminServerDeathTest, AcceptsNoGaugeThatIsCalledAsTheServersOwn) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  for (const char* name :
       {"grpc_server_calls_in_flight", "server_phase_left_seconds", "process_open_fds",
        "log_lost_lines_total", "tls_certificate_expiry_timestamp_seconds"}) {
    EXPECT_DEATH(
        admin_->pages().AddGauge(name, "How long.", [] { return 3.0; }),
        absl::StrCat("a metric may not be called \"", name, "\": the server's own begin with "));
  }
  admin_->pages().AddGauge("servers_known", "How many.", [] { return 3.0; });
}

// Prometheus refuses all metrics of an answer in which one comes twice. So the server's own have names
// that AddGauge() refuses.
void ExpectOwnEachOnce(const std::string& metrics) {
  std::set<std::string> seen;
  const std::vector<std::string> lines = absl::StrSplit(metrics, '\n', absl::SkipEmpty());
  for (const std::string& line : lines) {
    const std::string what = line.front() == '#' ? line : line.substr(0, line.rfind(' '));
    EXPECT_TRUE(seen.insert(what).second) << line;
    EXPECT_THAT(line, testing::ContainsRegex("^(# [A-Z]+ )?(grpc_server|server|process|log|tls)_"));
  }
}

TEST_F(AdminServerTest, MeasuresTheLongestOfClosersOfOneName) {
  observability::LogWriter writer("test");
  observability::ProcessLog log("test", "", writer);
  admin_->pages().Show(log, {});
  const auto at = lifecycle::Clock::Steady().Now();
  log.OnEvent({.type = lifecycle::EventType::kShutdownRequested, .at = at});
  for (const int seconds : {2, 5, 3}) {
    log.OnEvent({.type = lifecycle::EventType::kClosed,
                 .subject = "pool",
                 .phase = lifecycle::Phase::kClosingResources,
                 .at = at + std::chrono::seconds(9),
                 .took = std::chrono::seconds(seconds)});
  }
  const std::string metrics = Ask("/metrics").body;
  ExpectOwnEachOnce(metrics);
  EXPECT_THAT(metrics, testing::HasSubstr("\nserver_closer_duration_seconds{closer=\"pool\","
                                          "result=\"closed\"} 5\n"));
}

// A server with a service that implements nothing.
class SecondServer {
 public:
  SecondServer() {
    EXPECT_TRUE(host_.Start().ok());
    EXPECT_TRUE(host_.Open().ok());
    const auto stub = v1::AdminService::NewStub(rpc::NewConnection(host_.address()));
    v1::GetStateResponse response;
    EXPECT_EQ(stub->GetState(Bounded().get(), {}, &response).error_code(), grpc::UNIMPLEMENTED);
    host_.CloseListener();
  }

  const rpc::ServerHost& host() const { return host_; }

 private:
  rpc::GoodbyeSignal goodbye_;
  rpc::ServerHost host_{{}, {std::make_shared<v1::AdminService::CallbackService>()}, goodbye_};
};

TEST_F(AdminServerTest, AddsUpWhatSeveralServersCount) {
  const SecondServer first, second;
  admin_->pages().Show(first.host());
  admin_->pages().Show(second.host());
  const std::string labels = "{grpc_method=\"admin.v1.AdminService/GetState\"";
  std::string metrics;
  EXPECT_TRUE(testkit::Eventually([&] {  // Its caller has the answer a little earlier.
    metrics = Ask("/metrics").body;
    return absl::StrContains(metrics, absl::StrCat("\ngrpc_server_call_duration_seconds_count",
                                                   labels, ",grpc_status=\"UNIMPLEMENTED\"} 2\n"));
  })) << metrics;
  ExpectOwnEachOnce(metrics);
  EXPECT_THAT(metrics, testing::HasSubstr(
                           absl::StrCat("\ngrpc_server_call_started_total", labels, "} 2\n")));
  EXPECT_THAT(metrics, testing::HasSubstr("\nserver_refused_total{reason=\"connections\"} 0\n"));
  const std::string status = Ask("/statusz").body;
  EXPECT_THAT(status, testing::HasSubstr("GetState")) << status;
}

TEST_F(AdminServerTest, SaysWhyHttpCannotStart) {
  AdminServer nowhere(*process_, {.http = {.address = "nowhere"}});
  EXPECT_THAT(nowhere.Start().message(), testing::HasSubstr("--admin_http_address: \"nowhere\""));
}

}  // namespace
}  // namespace admin
