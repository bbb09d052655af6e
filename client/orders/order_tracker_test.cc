#include "client/orders/order_tracker.h"

#include <functional>
#include <latch>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "client/orders/orders_client.h"
#include "client/orders/testing/fake_shop.h"
#include "client/testing/fake_clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using orders::v1::Order;
using orders::v1::ORDER_STATE_CONFIRMED;
using orders::v1::ORDER_STATE_PLACED;
using orders::v1::ORDER_STATE_UNSPECIFIED;
using orders::v1::OrderState;
using orders::v1::TrackOrdersRequest;
using orders::v1::TrackOrdersResponse;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::Ge;
using testing::IsEmpty;

void Tell(FakeOrders::Track& stream, const std::string& id, OrderState state) {
  TrackOrdersResponse response;
  *response.mutable_order() = MakeOrder(id, state);
  response.set_resume_token("token of " + id);
  stream.Write(response);
}

// The ids that the next request of `stream` adds, or removes ("-id").
std::vector<std::string> Asked(FakeOrders::Track& stream) {
  TrackOrdersRequest request;
  std::vector<std::string> ids;
  if (!stream.Read(&request)) return {"(the stream has ended)"};
  for (const auto& id : request.add_order_ids()) ids.push_back(std::string(id));
  for (const auto& id : request.remove_order_ids()) ids.push_back("-" + std::string(id));
  return ids;
}

class OrderTrackerTest : public testing::Test {
 protected:
  void SetUp() override {
    ClientOptions options;
    options.clock = clock_;
    auto client = OrdersClient::Create(server_.address(), options);
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
    tracker_ = client_->TrackOrders();
  }

  // Follows until `last` is told: "id STATE".
  StreamEnd RunUntil(const std::string& last) {
    return tracker_->Run(
        [&](const Order& order) {
          told_.push_back(std::string(order.order_id()) + " " +
                          std::string(orders::v1::OrderState_Name(order.state())).substr(12));
          if (on_told_) on_told_(told_.back());
          if (told_.back() == last) stop_.request_stop();
          return true;
        },
        stop_.get_token());
  }

  std::stop_source stop_;
  FakeShop server_;
  FakeOrders& fake_ = server_.orders;
  const std::shared_ptr<FakeClock> clock_ = std::make_shared<FakeClock>();
  std::unique_ptr<OrdersClient> client_;
  std::unique_ptr<OrderTracker> tracker_;
  std::vector<std::string> told_;
  std::function<void(const std::string&)> on_told_;
};

TEST_F(OrderTrackerTest, DeliversEachOrdersStateAndItsChanges) {
  fake_.track.Then([](FakeOrders::Track& stream) {
    EXPECT_THAT(Asked(stream), ElementsAre("a", "b"));
    Tell(stream, "a", ORDER_STATE_PLACED);
    Tell(stream, "b", ORDER_STATE_UNSPECIFIED);
    Tell(stream, "a", ORDER_STATE_CONFIRMED);
    return grpc::Status::OK;
  });
  tracker_->Add({"a", "b"});
  const StreamEnd end = RunUntil("a CONFIRMED");
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.resume_token, "token of a");
  EXPECT_THAT(told_, ElementsAre("a PLACED", "b UNSPECIFIED", "a CONFIRMED"));
}

TEST_F(OrderTrackerTest, FollowsTheSameIdsOnceAfterReconnecting) {
  fake_.track
      .Then([](FakeOrders::Track& stream) {
        EXPECT_THAT(Asked(stream), ElementsAre("a", "b"));
        Tell(stream, "a", ORDER_STATE_PLACED);
        Tell(stream, "b", ORDER_STATE_PLACED);
        return Goodbye("resume_token", "7", 3);
      })
      .Then([](FakeOrders::Track& stream) {
        EXPECT_THAT(Asked(stream), ElementsAre("a", "b"));
        Tell(stream, "a", ORDER_STATE_PLACED);
        // Changed in between.
        Tell(stream, "b", ORDER_STATE_CONFIRMED);
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "Socket closed");
      })
      .Then([](FakeOrders::Track& stream) {
        EXPECT_THAT(Asked(stream), ElementsAre("a", "b"));
        Tell(stream, "a", ORDER_STATE_CONFIRMED);
        return grpc::Status::OK;
      });
  tracker_->Add({"a", "b"});
  EXPECT_TRUE(RunUntil("a CONFIRMED").status.ok());
  EXPECT_THAT(told_, ElementsAre("a PLACED", "b PLACED", "b CONFIRMED", "a CONFIRMED"));
  EXPECT_THAT(clock_->sleeps(), ElementsAre(Ge(seconds(3)), testing::Le(seconds(1))));
}

TEST_F(OrderTrackerTest, AddsAndRemovesWhileItRuns) {
  fake_.track
      .Then([](FakeOrders::Track& stream) {
        EXPECT_THAT(Asked(stream), ElementsAre("a"));
        Tell(stream, "a", ORDER_STATE_PLACED);
        EXPECT_THAT(Asked(stream), ElementsAre("b"));
        EXPECT_THAT(Asked(stream), ElementsAre("-a"));
        // Was on its way when "a" was removed.
        Tell(stream, "a", ORDER_STATE_CONFIRMED);
        return Goodbye("resume_token", "7", 0);
      })
      .Then([](FakeOrders::Track& stream) {
        EXPECT_THAT(Asked(stream), ElementsAre("b"));
        Tell(stream, "b", ORDER_STATE_PLACED);
        return grpc::Status::OK;
      });
  tracker_->Add({"a"});
  on_told_ = [&](const std::string& what) {
    if (what != "a PLACED") return;
    tracker_->Add({"a", "b"});
    tracker_->Remove({"a", "never added"});
  };
  EXPECT_TRUE(RunUntil("b PLACED").status.ok());
  EXPECT_THAT(told_, ElementsAre("a PLACED", "b PLACED"));
}

TEST_F(OrderTrackerTest, AddsFromAnotherThreadWhileNothingHappens) {
  std::latch running(1);
  const std::jthread other([&] {
    running.wait();
    tracker_->Add({"b"});
  });
  fake_.track.Then([&running](FakeOrders::Track& stream) {
    EXPECT_THAT(Asked(stream), ElementsAre("a"));
    running.count_down();
    EXPECT_THAT(Asked(stream), ElementsAre("b"));
    Tell(stream, "b", ORDER_STATE_PLACED);
    return grpc::Status::OK;
  });
  tracker_->Add({"a"});
  EXPECT_TRUE(RunUntil("b PLACED").status.ok());
}

TEST_F(OrderTrackerTest, ReadsOnWhileTheServerReadsNothing) {
  // The handler may outlast the body of this test.
  const auto confirmed = std::make_shared<std::latch>(1);
  fake_.track.Then([confirmed](FakeOrders::Track& stream) {
    EXPECT_THAT(Asked(stream), ElementsAre("a"));
    Tell(stream, "a", ORDER_STATE_PLACED);
    Tell(stream, "a", ORDER_STATE_CONFIRMED);
    confirmed->wait();
    return grpc::Status::OK;
  });
  tracker_->Add({"a"});
  on_told_ = [&](const std::string& what) {
    if (what == "a CONFIRMED") return confirmed->count_down();
    // More than any flow control lets go unread.
    std::vector<std::string> many;
    for (int i = 0; i < 20000; ++i) many.push_back(std::string(1000, 'x') + std::to_string(i));
    tracker_->Add(many);
  };
  EXPECT_TRUE(RunUntil("a CONFIRMED").status.ok());
}

TEST_F(OrderTrackerTest, AsksForManyInMoreThanOneRequest) {
  std::vector<std::string> ids;
  for (int i = 0; i < 1500; ++i) ids.push_back(std::to_string(i));
  fake_.track.Then([&ids](FakeOrders::Track& stream) {
    std::vector<std::string> asked = Asked(stream);
    EXPECT_THAT(asked, testing::SizeIs(1000));
    const std::vector<std::string> more = Asked(stream);
    asked.insert(asked.end(), more.begin(), more.end());
    EXPECT_THAT(asked, testing::UnorderedElementsAreArray(ids));
    Tell(stream, "7", ORDER_STATE_PLACED);
    return grpc::Status::OK;
  });
  tracker_->Add(ids);
  EXPECT_TRUE(RunUntil("7 PLACED").status.ok());
}

TEST_F(OrderTrackerTest, AStopEndsItWhileNothingHappens) {
  fake_.track.Then([&](FakeOrders::Track& stream) {
    EXPECT_THAT(Asked(stream), ElementsAre("a"));
    stop_.request_stop();
    // The client has ended the stream.
    EXPECT_THAT(Asked(stream), ElementsAre("(the stream has ended)"));
    return grpc::Status::OK;
  });
  tracker_->Add({"a"});
  EXPECT_TRUE(RunUntil("never").status.ok());
  EXPECT_THAT(told_, IsEmpty());
}

TEST_F(OrderTrackerTest, GoesOnWhenTheEventsThatItAwaitedAreRemoved) {
  fake_.track
      .Then([](FakeOrders::Track& stream) {
        EXPECT_THAT(Asked(stream), ElementsAre("a"));
        Tell(stream, "a", ORDER_STATE_PLACED);
        return Refusal(grpc::StatusCode::OUT_OF_RANGE, "too old", "EVENTS_REMOVED");
      })
      .Then([](FakeOrders::Track& stream) {
        EXPECT_THAT(Asked(stream), ElementsAre("a"));
        Tell(stream, "a", ORDER_STATE_CONFIRMED);
        return grpc::Status::OK;
      });
  tracker_->Add({"a"});
  const StreamEnd end = RunUntil("a CONFIRMED");
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_THAT(told_, ElementsAre("a PLACED", "a CONFIRMED"));
  EXPECT_THAT(clock_->sleeps(), testing::SizeIs(1));
}

TEST_F(OrderTrackerTest, DeliversAgainWhatWasNotTaken) {
  const auto serve = [](FakeOrders::Track& stream) {
    EXPECT_THAT(Asked(stream), ElementsAre("a", "b"));
    Tell(stream, "a", ORDER_STATE_PLACED);
    Tell(stream, "b", ORDER_STATE_PLACED);
    return grpc::Status::OK;
  };
  fake_.track.Then(serve).Then(serve);
  tracker_->Add({"a", "b"});
  const StreamEnd end = tracker_->Run([](const Order& order) { return order.order_id() == "a"; });
  EXPECT_TRUE(end.status.ok()) << end.status;
  EXPECT_EQ(end.resume_token, "token of a");
  EXPECT_TRUE(RunUntil("b PLACED").status.ok());
  EXPECT_THAT(told_, ElementsAre("b PLACED"));
}

TEST_F(OrderTrackerTest, DoesNotTryAgainWhatWillNeverSucceed) {
  fake_.track.Then([](FakeOrders::Track&) {
    return BadRequest({{"add_order_ids[0]", "must not be empty"}});
  });
  tracker_->Add({""});
  EXPECT_TRUE(absl::IsInvalidArgument(RunUntil("never").status));
  EXPECT_EQ(fake_.track.calls(), 1u);
}

}  // namespace
}  // namespace client
