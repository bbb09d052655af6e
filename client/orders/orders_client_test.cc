#include "client/orders/orders_client.h"

#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "client/error_details.h"
#include "client/orders/testing/fake_shop.h"
#include "client/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using orders::v1::GetOrderRequest;
using orders::v1::ImportOrdersRequest;
using orders::v1::ImportOrdersResponse;
using orders::v1::ListOrdersRequest;
using orders::v1::ListOrdersResponse;
using orders::v1::Order;
using orders::v1::PlaceOrderRequest;
using orders::v1::TrackOrdersRequest;
using orders::v1::TrackOrdersResponse;
using orders::v1::WatchOrdersRequest;
using orders::v1::WatchOrdersResponse;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::AllOf;
using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Not;
using testing::SizeIs;

// A stream that ends with no details at all, as when the server is killed.
const grpc::Status kBroken(grpc::StatusCode::UNAVAILABLE, "Socket closed");
const grpc::Status kOk;

std::vector<std::string> Numbers(int from, int to) {
  std::vector<std::string> numbers;
  for (int i = from; i <= to; ++i) numbers.push_back(std::to_string(i));
  return numbers;
}

// No event comes.
bool Nothing(const WatchOrdersResponse::Event&) {
  ADD_FAILURE() << "an event";
  return true;
}

class OrdersClientTest : public testing::Test {
 protected:
  ClientOptions Options() {
    ClientOptions options;
    options.timeout = seconds(60);
    options.clock = clock_;
    return options;
  }

  std::unique_ptr<OrdersClient> Connect(const std::string& target, ClientOptions options) {
    auto client = OrdersClient::Create(target, std::move(options));
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  std::unique_ptr<OrdersClient> Connect() { return Connect(server_.address(), Options()); }

  FakeShop server_;
  FakeOrders& fake_ = server_.orders;
  const std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
};

using OrdersClientUnaryTest = OrdersClientTest;

TEST_F(OrdersClientUnaryTest, PlaceOrderAnswersWithTheOrder) {
  fake_.place.Then([](const PlaceOrderRequest& request, Order& order) {
    order = MakeOrder("o1", orders::v1::ORDER_STATE_PLACED);
    order.set_request_id(request.request_id());
    return kOk;
  });
  PlaceOrderRequest request;
  request.set_request_id("mine");
  const auto order = Connect()->PlaceOrder(request);
  ASSERT_TRUE(order.ok()) << order.status();
  EXPECT_EQ(order->order_id(), "o1");
  EXPECT_EQ(order->request_id(), "mine");
}

TEST_F(OrdersClientUnaryTest, RepeatsPlaceOrderWithItsOwnRequestId) {
  Recorded<std::string> ids;
  const auto broken = [&ids](const PlaceOrderRequest& request, Order&) {
    ids.Add(request.request_id());
    return kBroken;
  };
  fake_.place.Then(broken).Then([&ids](const PlaceOrderRequest& request, Order& order) {
    ids.Add(request.request_id());
    order.set_order_id("o1");
    return kOk;
  });
  EXPECT_TRUE(Connect()->PlaceOrder({}).ok());
  ASSERT_THAT(ids.all(), SizeIs(2));
  EXPECT_THAT(ids.all()[0], SizeIs(36));
  EXPECT_EQ(ids.all()[0], ids.all()[1]);
}

TEST_F(OrdersClientUnaryTest, ACallCancelledByAShutdownIsRepeated) {
  fake_.get
      .Then([](const GetOrderRequest&, Order&) {
        return grpc::Status(grpc::StatusCode::CANCELLED, "");
      })
      .Then([](const GetOrderRequest& request, Order& order) {
        order.set_order_id(request.order_id());
        return kOk;
      });
  const auto order = Connect()->GetOrder("o1");
  ASSERT_TRUE(order.ok()) << order.status();
  EXPECT_EQ(order->order_id(), "o1");
}

TEST_F(OrdersClientUnaryTest, ARefusalKeepsItsDetailsWithoutARetry) {
  fake_.place.Then([](const PlaceOrderRequest&, Order&) {
    return BadRequest({{"customer", "must not be empty"}});
  });
  const auto order = Connect()->PlaceOrder({});
  EXPECT_TRUE(absl::IsInvalidArgument(order.status()));
  const auto bad = FindBadRequest(order.status());
  ASSERT_TRUE(bad.has_value());
  EXPECT_EQ(bad->field_violations(0).field(), "customer");
  EXPECT_EQ(fake_.place.calls(), 1u);
}

TEST_F(OrdersClientUnaryTest, ListOrdersReadsEachPageOnlyWhenNeeded) {
  const auto page = [](std::string token, std::vector<std::string> ids, std::string next) {
    return [=](const ListOrdersRequest& request, ListOrdersResponse& response) {
      EXPECT_EQ(request.page_token(), token);
      EXPECT_EQ(request.page_size(), 2);
      for (const std::string& id : ids) response.add_orders()->set_order_id(id);
      response.set_next_page_token(next);
      return kOk;
    };
  };
  fake_.list.Then(page("", {"a", "b"}, "p2"))
      .Then(page("p2", {}, "p3"))
      .Then(page("p3", {"c"}, ""));
  const auto client = Connect();
  OrderList list = client->ListOrders(2);
  EXPECT_EQ(fake_.list.calls(), 0u);
  EXPECT_EQ((*list.Next())->order_id(), "a");
  EXPECT_EQ((*list.Next())->order_id(), "b");
  EXPECT_EQ(fake_.list.calls(), 1u);
  EXPECT_EQ((*list.Next())->order_id(), "c");
  EXPECT_EQ(*list.Next(), std::nullopt);
  EXPECT_EQ(*list.Next(), std::nullopt);
  EXPECT_EQ(fake_.list.calls(), 3u);
}

TEST_F(OrdersClientUnaryTest, ListOrdersRepeatsAPageAfterAnError) {
  fake_.list
      .Then([](const ListOrdersRequest&, ListOrdersResponse&) {
        return grpc::Status(grpc::StatusCode::INTERNAL, "");
      })
      .Then([](const ListOrdersRequest&, ListOrdersResponse& response) {
        response.add_orders()->set_order_id("a");
        return kOk;
      });
  const auto client = Connect();
  OrderList list = client->ListOrders();
  EXPECT_TRUE(absl::IsInternal(list.Next().status()));
  EXPECT_EQ((*list.Next())->order_id(), "a");
}

TEST_F(OrdersClientUnaryTest, CreateRefusesWhatCannotWork) {
  EXPECT_TRUE(absl::IsInvalidArgument(OrdersClient::Create("").status()));
}

TEST(NewRequestIdTest, IsARandomUuid) {
  std::set<std::string> ids;
  for (int i = 0; i < 100; ++i) {
    const std::string id = NewRequestId();
    EXPECT_THAT(id, testing::MatchesRegex("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-"
                                          "[0-9a-f]{12}"));
    ids.insert(id);
  }
  EXPECT_THAT(ids, SizeIs(100));
}

class OrdersClientWatchTest : public OrdersClientTest {
 protected:
  // Expects to be asked to go on after event `from`, sends the events up to `to`,
  // then ends with `end`. Event n has the token "n".
  void Serve(int from, int to, grpc::Status end) {
    fake_.watch.Then([=](const WatchOrdersRequest& request, FakeOrders::Watch& writer) {
      EXPECT_EQ(request.resume_token(), from == 0 ? "start" : std::to_string(from));
      WatchOrdersResponse response;
      response.set_resume_token(std::to_string(from));
      writer.Write(response);
      SendEvents(writer, from + 1, to);
      return end;
    });
  }

  // Watches from the start until the event `last` came.
  StreamEnd WatchUntil(int last) {
    std::stop_source stop;
    return Connect(server_.address(), options_)
        ->WatchOrders(
            {.resume_token = "start"},
            [&, last](const WatchOrdersResponse::Event& event) {
              seen_.push_back(std::string(event.order().order_id()));
              if (seen_.back() == std::to_string(last)) stop.request_stop();
              return true;
            },
            stop.get_token());
  }

  ClientOptions options_ = Options();
  std::vector<std::string> seen_;
};

TEST_F(OrdersClientWatchTest, ResumesAfterAGoodbyeWithoutGapOrDuplicate) {
  Serve(0, 3, Goodbye("resume_token", "3", 1));
  Serve(3, 3, Goodbye("resume_token", "3", 1));
  Serve(3, 6, kBroken);
  const StreamEnd end = WatchUntil(6);
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.resume_token, "6");
  EXPECT_EQ(seen_, Numbers(1, 6));
}

TEST_F(OrdersClientWatchTest, ABrokenStreamResumesAfterTheLastEvent) {
  Serve(0, 2, kBroken);
  Serve(2, 5, grpc::Status(grpc::StatusCode::CANCELLED, ""));
  Serve(5, 7, kOk);
  Serve(7, 8, kBroken);
  EXPECT_TRUE(WatchUntil(8).status.ok());
  EXPECT_EQ(seen_, Numbers(1, 8));
}

TEST_F(OrdersClientWatchTest, TrustsItsEventsMoreThanTheGoodbye) {
  Serve(0, 2, Goodbye("resume_token", "9", 1));
  Serve(2, 3, kBroken);
  EXPECT_TRUE(WatchUntil(3).status.ok());
  EXPECT_EQ(seen_, Numbers(1, 3));
}

TEST_F(OrdersClientWatchTest, WaitsAsLongAsTheGoodbyeAsks) {
  Serve(0, 1, Goodbye("resume_token", "1", 30));
  Serve(1, 2, kBroken);
  Serve(2, 3, kBroken);
  WatchUntil(3);
  EXPECT_THAT(clock_->sleeps(),
              ElementsAre(AllOf(Ge(seconds(30)), Le(milliseconds(30100))), Le(milliseconds(100))));
}

TEST_F(OrdersClientWatchTest, UsesTheGoodbyesTokenWithoutAnother) {
  fake_.watch.Then([](const WatchOrdersRequest& request, FakeOrders::Watch&) {
    EXPECT_EQ(request.resume_token(), "");
    return Goodbye("resume_token", "5", 1);
  });
  Serve(5, 6, kBroken);
  std::stop_source stop;
  const StreamEnd end = Connect()->WatchOrders(
      {}, [&](const WatchOrdersResponse::Event&) { return stop.request_stop(); }, stop.get_token());
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.resume_token, "6");
}

TEST_F(OrdersClientWatchTest, SurvivesWhatAProxyMakesOfItsEnd) {
  Serve(0, 2, grpc::Status(grpc::StatusCode::UNKNOWN, "Stream removed"));
  Serve(2, 3, grpc::Status(grpc::StatusCode::INTERNAL, "Received RST_STREAM with error code 2"));
  Serve(3, 4, kOk);
  const StreamEnd end = WatchUntil(4);
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(seen_, Numbers(1, 4));
}

TEST_F(OrdersClientWatchTest, BelievesAServerThatFailsAgainAndAgain) {
  options_.retry.max_unexplained = 4;
  for (int i = 0; i < 20; ++i) {
    fake_.watch.Then([](const WatchOrdersRequest&, FakeOrders::Watch&) {
      return grpc::Status(grpc::StatusCode::INTERNAL, "");
    });
  }
  const StreamEnd end = Connect(server_.address(), options_)->WatchOrders({}, Nothing);
  EXPECT_TRUE(absl::IsInternal(end.status)) << end.status;
  EXPECT_EQ(fake_.watch.calls(), 4u);
}

TEST_F(OrdersClientWatchTest, ResumesWithTheEventThatWasNotTaken) {
  Serve(0, 3, kBroken);
  int events = 0;
  const StreamEnd end = Connect()->WatchOrders(
      {.resume_token = "start"}, [&](const WatchOrdersResponse::Event&) { return ++events < 3; });
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(events, 3);
  EXPECT_EQ(end.resume_token, "2");
}

// It sends its event where this client knows of none, with a token in each message.
TEST_F(OrdersClientWatchTest, EndsWhereAServerOfAnEarlierVersionSendsItsFirstEvent) {
  fake_.watch.Then([](const WatchOrdersRequest&, FakeOrders::Watch& writer) {
    for (const char* const token : {"3", "4", "5"}) {
      WatchOrdersResponse response;
      response.set_resume_token(token);
      writer.Write(response);
    }
    return kBroken;
  });
  const StreamEnd end = Connect()->WatchOrders({}, Nothing);
  EXPECT_TRUE(absl::IsFailedPrecondition(end.status)) << end.status;
  EXPECT_THAT(std::string(end.status.message()), testing::HasSubstr("an earlier version"));
  EXPECT_EQ(end.resume_token, "3");
  EXPECT_EQ(fake_.watch.calls(), 1u);
}

TEST_F(OrdersClientWatchTest, DoesNotTryAgainWhatWillNeverSucceed) {
  fake_.watch.Then([](const WatchOrdersRequest&, FakeOrders::Watch&) {
    return BadRequest({{"resume_token", "not one of ours"}});
  });
  const StreamEnd end = WatchUntil(1);
  EXPECT_TRUE(absl::IsInvalidArgument(end.status));
  EXPECT_EQ(end.resume_token, "start");
  EXPECT_EQ(fake_.watch.calls(), 1u);
  EXPECT_THAT(clock_->sleeps(), IsEmpty());
}

TEST_F(OrdersClientWatchTest, GivesUpAfterTheLimitWithoutAServer) {
  ClientOptions options = Options();
  options.retry.give_up_after = seconds(60);
  const auto start = clock_->Now();
  const StreamEnd end = Connect("127.0.0.1:1", options)->WatchOrders({}, Nothing);
  EXPECT_TRUE(absl::IsUnavailable(end.status)) << end.status;
  EXPECT_EQ(end.resume_token, "");
  EXPECT_THAT(clock_->Now() - start, AllOf(Ge(seconds(54)), Le(seconds(60))));
}

TEST_F(OrdersClientWatchTest, ReportsEachInterruption) {
  std::vector<std::string> reasons;
  options_.retry.on_retry = [&](const Interruption& now) {
    reasons.push_back(ErrorReason(now.why));
  };
  Serve(0, 1, Goodbye("resume_token", "1", 1));
  Serve(1, 2, kBroken);
  Serve(2, 3, kOk);
  WatchUntil(3);
  EXPECT_THAT(reasons, ElementsAre("SERVER_DRAINING", ""));
}

TEST_F(OrdersClientWatchTest, AStopEndsItAtOnceWhileIdle) {
  std::stop_source stop;
  std::stop_source released;
  fake_.watch.Then([stop, over = released.get_token()](const WatchOrdersRequest&,
                                                       FakeOrders::Watch& writer) mutable {
    WatchOrdersResponse standing;
    standing.set_resume_token("4");
    writer.Write(standing);
    stop.request_stop();
    // Not before the client has gone.
    AwaitStop(over);
    return kOk;
  });
  const StreamEnd end = Connect()->WatchOrders({}, Nothing, stop.get_token());
  released.request_stop();
  EXPECT_TRUE(end.status.ok()) << end.status;
}

TEST_F(OrdersClientWatchTest, ContinuesOnAnotherServerWhenItsOwnDies) {
  auto mortal = std::make_unique<FakeShop>();
  // Both have the same log, and break after each event.
  const auto next_event = [](const WatchOrdersRequest& request, FakeOrders::Watch& writer) {
    const int next = std::stoi(request.resume_token()) + 1;
    SendEvents(writer, next, next);
    return kBroken;
  };
  for (int i = 0; i < 9; ++i) {
    mortal->orders.watch.Then(next_event);
    fake_.watch.Then(next_event);
  }
  const auto client = Connect("ipv4:" + mortal->address() + "," + server_.address(), Options());
  std::stop_source stop;
  const StreamEnd end = client->WatchOrders(
      {.resume_token = "0"},
      [&](const WatchOrdersResponse::Event& event) {
        seen_.push_back(event.resume_token());
        if (seen_.size() == 3) mortal.reset();
        if (seen_.size() == 6) stop.request_stop();
        return true;
      },
      stop.get_token());
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(seen_, Numbers(1, 6));
}

class OrdersClientImportTest : public OrdersClientTest {
 protected:
  // Reads up to `most` orders of a stream, stores them, then ends with `end`; with OK
  // it reads all there are.
  void Serve(int most, grpc::Status end) {
    fake_.import.Then([=, this](FakeOrders::Import& reader, ImportOrdersResponse& response) {
      ImportOrdersRequest request;
      int count = 0;
      while (count < most && reader.Read(&request)) {
        ++count;
        stored_.Add(std::string(request.order().customer()));
        ids_.Add(std::string(request.order().request_id()));
      }
      response.set_durable_orders(count);
      return end;
    });
  }

  // Imports orders of customers 1 to `count`.
  ImportEnd Import(int count, ImportOptions options = {}, std::stop_token stop = {}) {
    int next = 1;
    options.on_progress = [this](const ImportProgress& progress) {
      EXPECT_GE(progress.sent, progress.durable);
      EXPECT_GE(progress.durable, progress_.durable);
      progress_ = progress;
    };
    return Connect()->ImportOrders(
        [&]() -> std::optional<PlaceOrderRequest> {
          if (next > count) return std::nullopt;
          PlaceOrderRequest request;
          request.set_customer(std::to_string(next++));
          return request;
        },
        options, stop);
  }

  static constexpr int kAll = 1000000;
  Recorded<std::string> stored_;
  Recorded<std::string> ids_;
  ImportProgress progress_;
};

TEST_F(OrdersClientImportTest, StoresEveryOrderInOrder) {
  Serve(kAll, kOk);
  const ImportEnd end = Import(5);
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.durable_orders, 5);
  EXPECT_EQ(stored_.all(), Numbers(1, 5));
  EXPECT_EQ(progress_.durable, 5);
}

TEST_F(OrdersClientImportTest, ContinuesAfterWhatTheGoodbyeSaysIsStored) {
  Serve(3, Goodbye("durable_orders", "3", 2));
  Serve(0, Goodbye("durable_orders", "0", 2));
  Serve(kAll, kOk);
  const ImportEnd end = Import(8);
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.durable_orders, 8);
  EXPECT_EQ(stored_.all(), Numbers(1, 8));
  EXPECT_THAT(clock_->sleeps(), ElementsAre(Ge(seconds(2)), Ge(seconds(2))));
}

TEST_F(OrdersClientImportTest, ResendsTheSameIdsAfterABrokenStream) {
  Serve(3, kBroken);
  Serve(kAll, kOk);
  const ImportEnd end = Import(4);
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.durable_orders, 4);
  EXPECT_THAT(stored_.all(), ElementsAre("1", "2", "3", "1", "2", "3", "4"));
  const auto ids = ids_.all();
  ASSERT_THAT(ids, SizeIs(7));
  EXPECT_EQ(std::vector(ids.begin(), ids.begin() + 3), std::vector(ids.begin() + 3, ids.end() - 1));
  EXPECT_THAT(std::set(ids.begin(), ids.end()), SizeIs(4));
}

TEST_F(OrdersClientImportTest, ResendsAtMostOneStreamOfOrders) {
  Serve(kAll, kOk);
  Serve(1, kBroken);
  Serve(kAll, kOk);
  Serve(kAll, kOk);
  const ImportEnd end = Import(5, {.orders_per_stream = 2});
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.durable_orders, 5);
  EXPECT_THAT(stored_.all(), ElementsAre("1", "2", "3", "3", "4", "5"));
}

TEST_F(OrdersClientImportTest, OpensNoStreamForNothing) {
  EXPECT_TRUE(Import(0).status.ok());
  Serve(kAll, kOk);
  EXPECT_TRUE(Import(2, {.orders_per_stream = 2}).status.ok());
  EXPECT_EQ(fake_.import.calls(), 1u);
}

TEST_F(OrdersClientImportTest, EndsAtARefusedOrderCountingTheStored) {
  Serve(kAll, kOk);
  Serve(2, Refusal(grpc::StatusCode::FAILED_PRECONDITION, "not enough stock", "OUT_OF_STOCK",
                   {{"sku", "pear"}, {"durable_orders", "1"}}));
  const ImportEnd end = Import(9, {.orders_per_stream = 4});
  EXPECT_TRUE(absl::IsFailedPrecondition(end.status)) << end.status;
  EXPECT_EQ(ErrorReason(end.status), "OUT_OF_STOCK");
  EXPECT_EQ(end.durable_orders, 5);
}

TEST_F(OrdersClientImportTest, DistrustsCountsBeyondWhatWasSent) {
  Serve(2, Goodbye("durable_orders", "7", 1));
  const ImportEnd end = Import(3);
  EXPECT_TRUE(absl::IsInternal(end.status)) << end.status;
  EXPECT_EQ(end.durable_orders, 0);
  EXPECT_FALSE(end.exact);
}

TEST_F(OrdersClientImportTest, IsExactOnceNothingSentIsUnconfirmed) {
  // The first stream may have stored two; the second says what is stored, then comes the stop.
  for (const int confirmed : {0, 1, 2}) {
    std::stop_source stop;
    int sleeps = 0;
    clock_->OnSleep([&] {
      if (++sleeps == 2) stop.request_stop();
    });
    Serve(2, kBroken);
    Serve(confirmed, Goodbye("durable_orders", std::to_string(confirmed), 1));
    const ImportEnd end = Import(3, {.orders_per_stream = 2}, stop.get_token());
    EXPECT_TRUE(absl::IsCancelled(end.status)) << end.status;
    EXPECT_EQ(end.durable_orders, confirmed);
    EXPECT_EQ(end.exact, confirmed == 2);
    progress_ = {};
  }
}

TEST_F(OrdersClientImportTest, IsNotExactWhereTheServerDoesNotKnowTheOutcome) {
  // The third order may be stored; a later stream says so, or does not. Then comes the stop.
  for (const int confirmed : {0, 1}) {
    std::stop_source stop;
    int sleeps = 0;
    clock_->OnSleep([&] {
      if (++sleeps == 2) stop.request_stop();
    });
    Serve(3, Refusal(grpc::StatusCode::UNAVAILABLE, "it may or may not be stored",
                     "OUTCOME_UNKNOWN", {{"durable_orders", "2"}}));
    Serve(confirmed, Goodbye("durable_orders", std::to_string(confirmed), 1));
    const ImportEnd end = Import(4, {}, stop.get_token());
    EXPECT_TRUE(absl::IsCancelled(end.status)) << end.status;
    EXPECT_EQ(end.durable_orders, 2 + confirmed);
    EXPECT_EQ(end.exact, confirmed == 1);
    progress_ = {};
  }
}

TEST_F(OrdersClientImportTest, TakesNoMoreOrdersAfterAStop) {
  Serve(kAll, kOk);
  std::stop_source stop;
  int taken = 0;
  const ImportEnd end = Connect()->ImportOrders(
      [&]() -> std::optional<PlaceOrderRequest> {
        if (++taken == 3) stop.request_stop();
        return PlaceOrderRequest();
      },
      {}, stop.get_token());
  EXPECT_TRUE(absl::IsCancelled(end.status)) << end.status;
  EXPECT_EQ(end.durable_orders, 3);
  EXPECT_EQ(taken, 3);
}

TEST_F(OrdersClientImportTest, IsCancelledDuringAnImmediateShutdown) {
  Serve(2, Goodbye("durable_orders", "2", 1));
  std::stop_source stop;
  int taken = 0;
  const ImportEnd end = Connect()->ImportOrders(
      [&]() -> std::optional<PlaceOrderRequest> {
        if (++taken == 3) stop.request_stop();
        return PlaceOrderRequest();
      },
      {}, stop.get_token());
  EXPECT_TRUE(absl::IsCancelled(end.status)) << end.status;
  EXPECT_EQ(end.durable_orders, 2);
}

TEST_F(OrdersClientImportTest, GivesUpAfterTheLimitCountingTheStored) {
  Serve(2, kBroken);
  for (int i = 0; i < 100; ++i) Serve(0, kBroken);
  ClientOptions options = Options();
  options.retry.give_up_after = seconds(20);
  const ImportEnd end = Connect(server_.address(), options)->ImportOrders([] {
    return std::optional(PlaceOrderRequest());
  });
  EXPECT_TRUE(absl::IsUnavailable(end.status)) << end.status;
  EXPECT_EQ(end.durable_orders, 0);
}

TEST_F(OrdersClientImportTest, SurvivesWhatAProxyMakesOfItsEnd) {
  Serve(2, grpc::Status(grpc::StatusCode::UNKNOWN, "Stream removed"));
  Serve(1, grpc::Status(grpc::StatusCode::INTERNAL, "Received RST_STREAM with error code 2"));
  Serve(kAll, kOk);
  const ImportEnd end = Import(3);
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.durable_orders, 3);
  const auto ids = ids_.all();
  EXPECT_THAT(std::set(ids.begin(), ids.end()), SizeIs(3));
}

TEST_F(OrdersClientImportTest, EndsWithoutAnAnswerToItsStop) {
  std::stop_source stop;
  std::stop_source released;
  fake_.import.Then([stop, over = released.get_token()](FakeOrders::Import& reader,
                                                        ImportOrdersResponse&) mutable {
    ImportOrdersRequest request;
    EXPECT_TRUE(reader.Read(&request));
    stop.request_stop();
    // Says nothing before the client has gone.
    AwaitStop(over);
    return kOk;
  });
  const ImportEnd end = Import(1, {.stop_limit = milliseconds(1)}, stop.get_token());
  released.request_stop();
  EXPECT_TRUE(absl::IsCancelled(end.status)) << end.status;
  EXPECT_EQ(end.durable_orders, 0);
  EXPECT_FALSE(end.exact);
}

}  // namespace
}  // namespace client
