// The example as it runs: the real orders server over the real inventory, stopped
// by real signals in the middle of real calls.
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "admin/v1/admin.grpc.pb.h"
#include "client/error_details.h"
#include "gmock/gmock.h"
#include "grpcpp/client_context.h"
#include "grpcpp/create_channel.h"
#include "gtest/gtest.h"
#include "orders/v1/orders.grpc.pb.h"
#include "service/admin/testing/http_caller.h"
#include "service/orders/process/servers_under_test.h"
#include "service/orders/testing/orders_under_test.h"
#include "tests/common/child_process.h"
#include "tests/common/event_log.h"
#include "tests/common/eventually.h"
#include "tests/common/order_rules.h"
#include "tests/common/reserved_port.h"
#include "tests/common/runfiles.h"
#include "tests/common/temp_dir.h"

namespace orders {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSubsetOf;
using ::testing::Not;
using testkit::ChildProcess;
using testkit::Ending;

using ServersTest = ServersUnderTest;

TEST_F(ServersTest, AShutdownEmitsItsEventsInThisOrder) {
  Start();
  ASSERT_TRUE(Place("one").ok());
  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
  std::vector<std::string> told;
  for (const testkit::LoggedEvent& event : testkit::EventsIn(orders().Output())) {
    told.push_back(event.name + (event.subject.empty() ? "" : " " + event.subject));
  }
  // A caller between two calls of a blocking API reads nothing, and is not waited for.
  const auto connections = ::testing::AnyOf("ConnectionsGone", "ConnectionsRemain");
  // The database and the channel do not use each other, and close at once.
  EXPECT_THAT(told, ::testing::AnyOf(
                        ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered",
                                    "ListenerClosed", "GoodbyeSaid", connections, "NewCallsRefused",
                                    "CallsFinished", "ServerStopped", "WorkersStopped",
                                    "StateSaved sales totals", "Closed store pool",
                                    "Closed inventory channel", "Closed database", "Stopped"),
                        ElementsAre("Serving", "ShutdownRequested", "LameDuckEntered",
                                    "ListenerClosed", "GoodbyeSaid", connections, "NewCallsRefused",
                                    "CallsFinished", "ServerStopped", "WorkersStopped",
                                    "StateSaved sales totals", "Closed store pool",
                                    "Closed database", "Closed inventory channel", "Stopped")))
      << orders().Output();
}

TEST_F(ServersTest, OrdersWaitingForASlowInventoryAreAnswered) {
  // Longer than a connection must be silent: nothing but the calls themselves holds the shutdown.
  ASSERT_NO_FATAL_FAILURE(StartInventory({"--latency=1s"}));
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
  const auto calls = EightAcceptedOrders();
  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
  for (const std::unique_ptr<OrderCall>& call : calls) {
    const grpc::Status status = call->Status();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  EXPECT_THAT(testkit::EventNamesIn(orders().Output()), ::testing::Contains("CallsFinished"));
}

TEST_F(ServersTest, ManualDrainAnswersEveryOrderAndSavesState) {
  ASSERT_NO_FATAL_FAILURE(StartInventory({"--latency=1s"}));
  const std::string port_file = directory_.File("admin");
  ASSERT_NO_FATAL_FAILURE(StartOrders(
      inventory_->address(), {"--admin_address=127.0.0.1:0", "--admin_port_file=" + port_file}));
  std::string admin_address;
  std::ifstream(port_file) >> admin_address;
  const auto admin = admin::v1::AdminService::NewStub(
      grpc::CreateChannel(admin_address, grpc::InsecureChannelCredentials()));

  grpc::ClientContext watching;
  watching.set_deadline(std::chrono::system_clock::now() + kLimit);
  const auto watch = stub_->WatchOrders(&watching, v1::WatchOrdersRequest());
  v1::WatchOrdersResponse event;
  ASSERT_TRUE(watch->Read(&event));
  const auto calls = EightAcceptedOrders();

  grpc::ClientContext draining;
  draining.set_deadline(std::chrono::system_clock::now() + kLimit);
  const auto drain = admin->Drain(&draining, {});
  admin::v1::DrainResponse progress;
  while (drain->Read(&progress)) continue;
  EXPECT_TRUE(drain->Finish().ok());
  EXPECT_TRUE(progress.state().drained());
  EXPECT_EQ(progress.state().calls(), 0);
  for (const std::unique_ptr<OrderCall>& call : calls) {
    const grpc::Status status = call->Status();
    EXPECT_TRUE(status.ok()) << status.error_message();
  }
  while (watch->Read(&event)) continue;
  EXPECT_EQ(client::ErrorReason(client::FromGrpc(watch->Finish())), "SERVER_DRAINING");
  EXPECT_EQ(orders().Wait(std::chrono::milliseconds(0)), Ending());

  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
  std::vector<std::string> told;
  for (const testkit::LoggedEvent& one : testkit::EventsIn(orders().Output())) {
    if (one.name != "Closed") told.push_back(one.name);
  }
  EXPECT_THAT(told, ElementsAre("Serving", "ManualDrainRequested", "LameDuckEntered",
                                "ListenerClosed", "GoodbyeSaid", "Drained", "ShutdownRequested",
                                "ConnectionsGone", "NewCallsRefused", "CallsFinished",
                                "ServerStopped", "WorkersStopped", "StateSaved", "Stopped"))
      << orders().Output();
  const std::vector<testkit::LoggedEvent> events = testkit::EventsIn(orders().Output());
  EXPECT_EQ(events[events.size() - 2].subject, "admin server");

  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
  EXPECT_TRUE(orders().AwaitOutput("replayed 0 events", kLimit)) << orders().Output();
  EXPECT_EQ(StoredRequestIds().size(), 8u);
}

TEST_F(ServersTest, OperatorsSeeWhatTheOutboxWaitsFor) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  std::string http;
  ASSERT_NO_FATAL_FAILURE(StartOrdersWithHttp(http));
  const auto shows = [&http](const std::string& path, const std::string& text) {
    return testkit::Eventually(
        [&] { return admin::Get(http, path).body.find(text) != std::string::npos; });
  };
  ASSERT_TRUE(Place("one").ok());
  EXPECT_TRUE(shows("/metrics", "\norders_outbox_settled_total 1\n"));
  EXPECT_TRUE(shows("/metrics", "\norders_outbox_items 0\n"));
  EXPECT_TRUE(shows("/metrics", "\norders_store_commits_total "));
  EXPECT_TRUE(shows("/readyz?verbose", "[+]outbox: ok"));

  inventory_.reset();
  grpc::ClientContext context;
  v1::CancelOrderRequest cancel;
  cancel.set_order_id(StoredOrders().front().order_id());
  v1::CancelOrderResponse cancelled;
  ASSERT_TRUE(stub_->CancelOrder(&context, cancel, &cancelled).ok());
  EXPECT_TRUE(shows("/readyz?verbose", "[-]outbox: UNAVAILABLE: 1 items wait"));
  EXPECT_TRUE(shows("/readyz?verbose", "the last trouble: the inventory: UNAVAILABLE"));
  EXPECT_TRUE(shows("/statusz", "1 items wait"));
  EXPECT_TRUE(shows("/metrics", "\norders_outbox_items 1\n"));
  EXPECT_EQ(admin::Get(http, "/readyz").status, 200) << "it serves whatever else it can";
}

// The metrics of its own that a text names; in the manual orders_server is a program.
std::set<std::string> OrdersMetricsIn(const std::string& text) {
  static const std::regex name("\\borders_[a-z_]+");
  std::set<std::string> names;
  for (std::sregex_iterator it(text.begin(), text.end(), name), end; it != end; ++it) {
    names.insert(it->str());
  }
  names.erase("orders_server");
  return names;
}

TEST_F(ServersTest, TheManualAndTheAlertsNameTheMetricsThatThereAre) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  std::string http;
  ASSERT_NO_FATAL_FAILURE(StartOrdersWithHttp(http));
  const std::set<std::string> told = OrdersMetricsIn(admin::Get(http, "/metrics").body);
  const auto named = [](const std::string& path) {
    std::ifstream file(testkit::RunfileOrDie(path));
    return OrdersMetricsIn({std::istreambuf_iterator<char>(file), {}});
  };
  EXPECT_EQ(named("docs/operations.md"), told);
  EXPECT_THAT(named("deploy/prometheus/orders/alerts.yml"),
              AllOf(Not(IsEmpty()), IsSubsetOf(told)));
  EXPECT_THAT(named("deploy/grafana/dashboard.json"), IsSubsetOf(told));
}

TEST_F(ServersTest, AWatcherResumesAndMissesNothing) {
  Start();
  ASSERT_TRUE(Place("before").ok());
  Watch watch(*stub_, "start");
  ASSERT_TRUE(watch.Next());  // It stands.
  EXPECT_EQ(watch.Next(1), std::vector<std::string>{"before"});
  const auto confirmed = watch.Next();
  ASSERT_TRUE(confirmed);
  EXPECT_EQ(confirmed->order().state(), v1::ORDER_STATE_CONFIRMED);

  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
  EXPECT_FALSE(watch.Next());
  const absl::Status goodbye = watch.End();
  EXPECT_EQ(goodbye.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client::ErrorReason(goodbye), "SERVER_DRAINING");
  EXPECT_TRUE(client::RetryDelay(goodbye).has_value());
  EXPECT_EQ(client::ErrorMetadata(goodbye, "resume_token"), watch.resume_token());

  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
  ASSERT_TRUE(Place("after").ok());
  Watch resumed(*stub_, watch.resume_token());
  ASSERT_TRUE(resumed.Next());
  const auto event = resumed.Next();
  ASSERT_TRUE(event);
  EXPECT_EQ(event->order().request_id(), "after");
  EXPECT_EQ(event->order().state(), v1::ORDER_STATE_PLACED);
  resumed.Cancel();
}

TEST_F(ServersTest, OnlyTheTailIsReplayedAfterAKill) {
  Start();
  ASSERT_TRUE(Place("one").ok());
  ASSERT_TRUE(Place("two").ok());
  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();

  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
  EXPECT_TRUE(orders().AwaitOutput("replayed 0 events", kLimit)) << orders().Output();
  ASSERT_TRUE(Place("three").ok());
  orders().Signal(SIGKILL);
  EXPECT_EQ(orders().Wait(kLimit), Ending::Killed(SIGKILL));

  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory_->address()));
  ASSERT_TRUE(orders().AwaitOutput(" events of the order log", kLimit)) << orders().Output();
  // Placed, and perhaps confirmed; not what the clean shutdown had saved.
  EXPECT_THAT(orders().Output(),
              ::testing::AnyOf(HasSubstr("replayed 1 events"), HasSubstr("replayed 2 events")));
  EXPECT_THAT(StoredRequestIds(), ElementsAre("one", "two", "three"));
  // The caller that had no answer asks again, and there is no second order.
  ASSERT_TRUE(Place("three").ok());
  EXPECT_THAT(StoredRequestIds(), ElementsAre("one", "two", "three"));
}

TEST_F(ServersTest, WithoutAnInventoryOrdersAnswersWhatItCan) {
  const testkit::ReservedPort inventory;
  ASSERT_NO_FATAL_FAILURE(StartOrders(inventory.address()));
  EXPECT_TRUE(orders().AwaitOutput("no inventory at " + inventory.address(), kLimit))
      << orders().Output();
  EXPECT_THAT(StoredRequestIds(), ElementsAre());
  const absl::Status refused = client::FromGrpc(Place("early"));
  EXPECT_EQ(refused.code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(client::ErrorReason(refused), "INVENTORY_UNAVAILABLE");
  EXPECT_THAT(StoredRequestIds(), ElementsAre());

  // It comes, and goes: each time the same call says so.
  ASSERT_NO_FATAL_FAILURE(StartInventory({}, inventory.address()));
  const auto end = std::chrono::steady_clock::now() + kLimit;
  grpc::Status placed;
  do {
    placed = Place("early");
  } while (placed.error_code() == grpc::StatusCode::UNAVAILABLE &&
           std::chrono::steady_clock::now() < end);
  EXPECT_TRUE(placed.ok()) << placed.error_message();
  inventory_->process().Signal(SIGKILL);
  ASSERT_EQ(inventory_->process().Wait(kLimit), Ending::Killed(SIGKILL));
  EXPECT_EQ(Place("late").error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(StoredRequestIds(), ElementsAre("early"));
  EXPECT_EQ(Stop(), Ending::Exited(0)) << orders().Output();
}

TEST_F(ServersTest, AnInventoryBehindAProxyThatIsNotThereIsToldOfIt) {
  ASSERT_NO_FATAL_FAILURE(StartInventory());
  ASSERT_NO_FATAL_FAILURE(StartOrders(
      inventory_->address(), {},
      {"/usr/bin/env", "no_proxy=", "no_grpc_proxy=", "http_proxy=http://127.0.0.1:1"}));
  EXPECT_TRUE(orders().AwaitOutput("--inventory says where to look; http_proxy is set", kLimit))
      << orders().Output();
}

TEST_F(ServersTest, AnInventoryThatComesAfterTheStartIsNews) {
  const testkit::ReservedPort inventory;
  const std::string port_file = directory_.File("http");
  ASSERT_NO_FATAL_FAILURE(
      StartOrders(inventory.address(),
                  {"--admin_http_address=127.0.0.1:0", "--admin_http_port_file=" + port_file}));
  ASSERT_TRUE(orders().AwaitOutput("no inventory at " + inventory.address(), kLimit))
      << orders().Output();
  ASSERT_NO_FATAL_FAILURE(StartInventory({}, inventory.address()));
  // No call meets it while it is away.
  std::string http;
  std::ifstream(port_file) >> http;
  ASSERT_TRUE(testkit::Eventually([&http] {
    return admin::Get(http, "/readyz?verbose").body.find("[+]inventory") != std::string::npos;
  }));
  EXPECT_TRUE(Place("one").ok());
  EXPECT_TRUE(
      orders().AwaitOutput("inventory at " + inventory.address() + " can be reached again", kLimit))
      << orders().Output();
}

// Runs what a server says to call it with, but for Bazel.
void ExpectCanBeCalledAsItSays(const std::string& output) {
  const std::string behind = "call it: ./bazelw run //client -- ";
  const std::size_t at = output.find(behind);
  ASSERT_NE(at, std::string::npos) << output;
  std::istringstream words(
      output.substr(at + behind.size(), output.find('\n', at) - at - behind.size()));
  std::vector<std::string> command = {testkit::RunfileOrDie("client/client")};
  for (std::string word; words >> word;) command.push_back(word);
  ChildProcess client(command);
  EXPECT_EQ(client.Wait(kLimit), Ending::Exited(0)) << client.Output();
}

TEST_F(ServersTest, EachSaysHowItCanBeCalled) {
  Start();
  ExpectCanBeCalledAsItSays(orders().Output());
  ExpectCanBeCalledAsItSays(inventory_->process().Output());
}

// Besides the events in its log, and its report.
MATCHER(IsOneLine, "is one line") {
  const auto lines = static_cast<std::size_t>(std::count(arg.begin(), arg.end(), '\n'));
  const std::size_t report = arg.find(": shutdown report: {") == std::string::npos ? 0 : 1;
  return lines == testkit::EventsIn(arg).size() + report + 1 && arg.back() == '\n';
}

TEST(HelpTest, OfEachServerAddsItsOwnFlags) {
  const auto help = [](const std::string& binary) {
    ChildProcess server({testkit::RunfileOrDie(binary), "--help"});
    EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
    return server.Output();
  };
  EXPECT_THAT(
      help("service/orders_server"),
      AllOf(HasSubstr("--database ("), HasSubstr("--inventory ("), HasSubstr("--address (")));
  EXPECT_THAT(help("service/inventory/inventory"),
              AllOf(HasSubstr("--database ("), HasSubstr("--stock ("), HasSubstr("--latency ("),
                    HasSubstr("--address (")));
}

TEST(BadFlagTest, OfInventoryIsNamedAndExitsWith1) {
  for (const std::string flag : {"--stock=junk", "--stock=apple=-1", "--latency=-1s",
                                 "--latency=inf", "--latency=slow", "--database"}) {
    ChildProcess server(
        {testkit::RunfileOrDie("service/inventory/inventory"), "--address=127.0.0.1:0", flag});
    EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1)) << server.Output();
    EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr(flag.substr(2, flag.find('=') - 2))));
  }
}

// A server that is given a database that it cannot use.
class OrdersBadDatabaseTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::string Output(const std::string& database) {
    ChildProcess server(
        {testkit::RunfileOrDie(GetParam()), "--address=127.0.0.1:0", "--database=" + database});
    EXPECT_EQ(testkit::AwaitShutdown(server, kLimit), Ending::Exited(2));
    return server.Output();
  }

  const testkit::TempDir directory_;
};

TEST_P(OrdersBadDatabaseTest, KeepsAFileThatIsNoDatabase) {
  const std::string path = directory_.File("garbage");
  std::ofstream(path) << "this is no database, whatever its name may be";
  EXPECT_THAT(Output(path), AllOf(IsOneLine(), HasSubstr("could not start"), HasSubstr(path)));
  std::ifstream file(path);
  std::string content;
  std::getline(file, content);
  EXPECT_EQ(content, "this is no database, whatever its name may be");
}

TEST_P(OrdersBadDatabaseTest, ADirectoryThatIsMissingIsNamed) {
  const std::string path = directory_.File("missing") + "/db";
  EXPECT_THAT(Output(path), AllOf(IsOneLine(), HasSubstr("could not start"), HasSubstr(path)));
}

TEST_P(OrdersBadDatabaseTest, ADirectoryInItsPlaceIsNamed) {
  const std::string path = directory_.File("");
  EXPECT_THAT(Output(path), AllOf(IsOneLine(), HasSubstr("could not start"), HasSubstr(path)));
}

// The port file would replace the open database, and orders would be gone after a restart.
TEST_P(OrdersBadDatabaseTest, AFileThatTheServerWritesIsNamed) {
  const std::string path = directory_.File("db");
  ChildProcess server({testkit::RunfileOrDie(GetParam()), "--address=127.0.0.1:0",
                       "--database=" + path, "--port_file=" + path});
  EXPECT_EQ(server.Wait(kLimit), Ending::Exited(1));
  EXPECT_THAT(server.Output(), AllOf(IsOneLine(), HasSubstr("--database and --port_file name one "
                                                            "file, " +
                                                            path)));
  EXPECT_FALSE(std::filesystem::exists(path));
}

INSTANTIATE_TEST_SUITE_P(BothServers, OrdersBadDatabaseTest,
                         ::testing::Values("service/orders_server", "service/inventory/inventory"),
                         [](const auto& info) {
                           return info.param == "service/orders_server" ? "Orders" : "Inventory";
                         });

}  // namespace
}  // namespace orders
