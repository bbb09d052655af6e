#include "service/orders/watch_orders.h"

#include <future>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
#include "service/orders/resume_token.h"
#include "service/orders/testing/fake_inventory.h"
#include "service/orders/testing/orders_under_test.h"
#include "service/orders/testing/status_details.h"
#include "service/orders/testing/temporary_database.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using ::testing::ElementsAre;

std::vector<std::string> Ids(int from, int to) {
  std::vector<std::string> ids;
  for (int i = from; i <= to; ++i) ids.push_back("r" + std::to_string(i));
  return ids;
}

// The request_ids in the order of the log.
std::vector<std::string> Log(OrderStore& store) {
  std::vector<std::string> ids;
  const auto events = store.EventsAfter(0, 1000000, Soon());
  EXPECT_TRUE(events.ok()) << events.status();
  for (const OrderEvent& event : *events) ids.push_back(event.order.request_id());
  return ids;
}

class WatchOrdersTest : public ::testing::Test {
 protected:
  void PlaceAll(const std::vector<std::string>& ids) {
    for (const std::string& id : ids) PlaceIn(orders_.store(), id);
  }
  // A watch that stands.
  std::unique_ptr<Watch> Stand(const std::string& resume_token) {
    auto watch = std::make_unique<Watch>(*stub_, resume_token);
    EXPECT_TRUE(watch->Next());
    return watch;
  }
  void ExpectGoodbye(const absl::Status& status, const std::string& resume_token) {
    EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE SERVER_DRAINING");
    EXPECT_TRUE(SaysWhenToRetry(status));
    EXPECT_EQ(Metadata(status, "resume_token"), resume_token);
  }

  const TemporaryDatabase database_;
  FakeInventory inventory_;
  OrdersUnderTest orders_{database_, inventory_};
  const std::unique_ptr<v1::OrdersService::Stub> stub_ = orders_.NewStub();
};

TEST_F(WatchOrdersTest, SaysFirstThatItStands) {
  Watch watch(*stub_, "");
  const auto first = watch.Next();
  ASSERT_TRUE(first);
  EXPECT_FALSE(first->has_order());
  EXPECT_EQ(first->resume_token(), MakeToken(TokenKind::kWatch, orders_.store().DatabaseId(), 0));
}

TEST_F(WatchOrdersTest, SendsNewOrdersAndWhatBecomesOfThem) {
  ASSERT_TRUE(Place(*stub_, NewRequest("r1")).ok());
  ASSERT_EQ(Stand("start")->Next(1), Ids(1, 1));  // So the feed has it.
  const auto watch = Stand("");
  ASSERT_TRUE(Place(*stub_, NewRequest("r2")).ok());
  EXPECT_EQ(watch->Next(1), Ids(2, 2));
  orders_.StartRelay();
  const auto confirmed = watch->Next();
  ASSERT_TRUE(confirmed);
  EXPECT_EQ(confirmed->order().request_id(), "r1");
  EXPECT_EQ(confirmed->order().state(), v1::ORDER_STATE_CONFIRMED);
  EXPECT_EQ(watch->Next(1), Ids(2, 2));
}

TEST_F(WatchOrdersTest, TellsEverythingFromTheStart) {
  PlaceAll(Ids(1, 5));
  EXPECT_EQ(Stand("start")->Next(5), Ids(1, 5));
}

TEST_F(WatchOrdersTest, SendsWhatIsAtHandInOneMessage) {
  PlaceAll(Ids(1, 5));
  ASSERT_EQ(Stand("start")->Next(5), Ids(1, 5));  // So the feed has it.
  Watch watch(*stub_, "start");
  const auto first = watch.NextMessage();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->events_size(), 0);
  const auto second = watch.NextMessage();
  ASSERT_TRUE(second);
  EXPECT_EQ(second->events_size(), 5);
}

TEST_F(WatchOrdersTest, SendsNoEndlessMessage) {
  constexpr int kOrders = 20;
  constexpr std::size_t kBytes = 20'000;
  for (const std::string& id : Ids(1, kOrders)) {
    v1::Order stored;
    stored.set_order_id(id);
    stored.set_request_id(id);
    stored.set_customer(std::string(kBytes, 'c'));
    ASSERT_TRUE(orders_.store().Place({stored, "reservation"}, Soon()).ok());
  }
  ASSERT_EQ(Stand("start")->Next(kOrders), Ids(1, kOrders));
  const auto watch = Stand("start");
  for (int events = 0; events < kOrders;) {
    const auto message = watch->NextMessage();
    ASSERT_TRUE(message);
    EXPECT_LT(message->ByteSizeLong(), 4 * kBytes);
    events += message->events_size();
  }
}

TEST_F(WatchOrdersTest, GoesOnAfterEachResumeToken) {
  PlaceAll(Ids(1, 5));
  const auto watch = Stand("start");
  EXPECT_EQ(Stand(watch->resume_token())->Next(5), Ids(1, 5));
  for (int i = 1; i < 5; ++i) {
    ASSERT_TRUE(watch->Next());
    const auto resumed = Stand(watch->resume_token());
    EXPECT_EQ(resumed->resume_token(), watch->resume_token());
    EXPECT_EQ(resumed->Next(5 - i), Ids(i + 1, 5));
  }
}

TEST_F(WatchOrdersTest, ResumesAtAnotherReplicaAndAfterARestart) {
  PlaceAll(Ids(1, 3));
  const auto watch = Stand("start");
  ASSERT_EQ(watch->Next(2), Ids(1, 2));
  OrdersUnderTest replica(database_, inventory_);
  const auto other_stub = replica.NewStub();
  Watch resumed(*other_stub, watch->resume_token());
  EXPECT_FALSE(resumed.Next()->has_order());
  EXPECT_EQ(resumed.Next(1), Ids(3, 3));
}

TEST_F(WatchOrdersTest, RefusesATokenThatIsNotThisServices) {
  for (const std::string& token : {std::string("junk"), std::string("START"),
                                   MakeToken(TokenKind::kPage, orders_.store().DatabaseId(), 0)}) {
    Watch watch(*stub_, token);
    EXPECT_FALSE(watch.Next());
    const absl::Status status = watch.End();
    EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT");
    EXPECT_THAT(WrongFields(status), ElementsAre("resume_token"));
  }
}

TEST_F(WatchOrdersTest, RefusesATokenOfAnotherDatabase) {
  const TemporaryDatabase elsewhere;
  Watch watch(*stub_, MakeToken(TokenKind::kWatch, elsewhere.Open()->DatabaseId(), 0));
  EXPECT_FALSE(watch.Next());
  EXPECT_EQ(CodeAndReason(watch.End()), "INVALID_ARGUMENT");
}

TEST_F(WatchOrdersTest, ReportsRemovedEventsInsteadOfSkippingThem) {
  PlaceAll(Ids(1, 4));
  ASSERT_TRUE(orders_.store().SaveTotals({.sequence = 4, .quantity_by_sku = {}}, Soon()).ok());
  ASSERT_EQ(*orders_.store().Trim(3, Soon(), {}), 2);
  // It has none of them in memory.
  OrdersUnderTest replica(database_, inventory_);
  const auto stub = replica.NewStub();
  for (const std::string& token :
       {std::string("start"), MakeToken(TokenKind::kWatch, replica.store().DatabaseId(), 1)}) {
    Watch watch(*stub, token);
    EXPECT_FALSE(watch.Next()->has_order());
    EXPECT_FALSE(watch.Next());
    EXPECT_EQ(CodeAndReason(watch.End()), "OUT_OF_RANGE EVENTS_REMOVED");
  }
  Watch watch(*stub, MakeToken(TokenKind::kWatch, replica.store().DatabaseId(), 2));
  EXPECT_FALSE(watch.Next()->has_order());
  EXPECT_EQ(watch.Next(2), Ids(3, 4));
}

TEST_F(WatchOrdersTest, RefusesARequestThatIsNone) {
  grpc::GenericStub stub(orders_.NewChannel());
  CallContext context;
  const grpc::Slice garbage("\xff\xff");
  const grpc::ByteBuffer request(&garbage, 1);
  std::promise<grpc::Status> ended;
  grpc::ByteBuffer response;
  stub.UnaryCall(&context, "/orders.v1.OrdersService/WatchOrders", {}, &request, &response,
                 [&](grpc::Status status) { ended.set_value(std::move(status)); });
  EXPECT_EQ(ended.get_future().get().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(WatchOrdersTest, RefusesAPositionBeyondTheLog) {
  PlaceAll(Ids(1, 3));
  Watch watch(*stub_, MakeToken(TokenKind::kWatch, orders_.store().DatabaseId(), 4));
  const absl::Status status = watch.End();
  EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT");
  EXPECT_THAT(WrongFields(status), ElementsAre("resume_token"));
}

TEST_F(WatchOrdersTest, SendsEveryEventInOrderWhileManyOrder) {
  constexpr int kThreads = 4;
  constexpr int kOrders = 50;
  orders_.StartRelay();
  OrdersUnderTest replica(database_, inventory_);
  const auto other_stub = replica.NewStub();
  Watch at_replica(*other_stub, "start");
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < kThreads; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < kOrders; ++i) {
        const std::string id = "c" + std::to_string(caller) + "-" + std::to_string(i);
        EXPECT_TRUE(Place(caller % 2 == 0 ? *stub_ : *other_stub, NewRequest(id)).ok());
        if (caller == 0) PlaceIn(replica.store(), "o" + std::to_string(i));
      }
    });
  }
  // Some join while it happens, and some go on from the middle.
  constexpr int kEvents = 2 * (kThreads + 1) * kOrders;
  const auto watch = Stand("start");
  const std::vector<std::string> half = watch->Next(kEvents / 2);
  const auto late = Stand("start");
  const auto resumed = Stand(watch->resume_token());
  std::vector<std::string> all = half;
  for (const std::string& id : watch->Next(kEvents - kEvents / 2)) all.push_back(id);
  std::vector<std::string> joined = half;
  for (const std::string& id : resumed->Next(kEvents - kEvents / 2)) joined.push_back(id);

  EXPECT_EQ(all, Log(orders_.store()));
  EXPECT_EQ(joined, all);
  EXPECT_EQ(late->Next(kEvents), all);
  ASSERT_TRUE(at_replica.Next());
  EXPECT_EQ(at_replica.Next(kEvents), all);
}

TEST_F(WatchOrdersTest, CatchesUpFromAfarWhileTheLogGrows) {
  PlaceAll(Ids(1, 300));
  // Begins with a feed that keeps nothing of them.
  {
    const auto sales = *Sales::Load(orders_.store(), Soon());
    ASSERT_TRUE(EventFeed(orders_.store(), *sales).CatchUp().ok());
    ASSERT_TRUE(sales->Save(Soon()).ok());
  }
  OrdersUnderTest restarted(database_, inventory_);
  const auto stub = restarted.NewStub();
  Watch watch(*stub, "start");
  ASSERT_TRUE(watch.Next());
  std::jthread grows([&] {
    for (const std::string& id : Ids(301, 400)) PlaceIn(orders_.store(), id);
  });
  EXPECT_EQ(watch.Next(400), Ids(1, 400));
}

TEST_F(WatchOrdersTest, OneThatReadsNothingDelaysNoOther) {
  const auto slow = Stand("");
  const auto other_stub = orders_.NewStub();
  Watch quick(*other_stub, "");
  ASSERT_TRUE(quick.Next());
  // More than the buffers on the way hold.
  constexpr int kOrders = 700;
  std::jthread grows([&] {
    for (int i = 1; i <= kOrders; ++i) {
      v1::Order order;
      order.set_order_id(std::to_string(i));
      order.set_request_id("r" + std::to_string(i));
      order.set_customer(std::string(20000, 'c'));
      EXPECT_TRUE(orders_.store().Place({order, "reservation"}, Soon()).ok());
    }
  });
  EXPECT_EQ(quick.Next(kOrders), Ids(1, kOrders));
  EXPECT_TRUE(List(*stub_, 1).ok());
  // And it misses nothing.
  EXPECT_EQ(slow->Next(kOrders), Ids(1, kOrders));
}

TEST_F(WatchOrdersTest, ADrainEndsItWithAResumableGoodbye) {
  PlaceAll(Ids(1, 3));
  const auto watch = Stand("start");
  ASSERT_EQ(watch->Next(3), Ids(1, 3));
  const auto idle = Stand(watch->resume_token());
  orders_.Drain();
  ExpectGoodbye(watch->End(), MakeToken(TokenKind::kWatch, orders_.store().DatabaseId(), 3));
  ExpectGoodbye(idle->End(), MakeToken(TokenKind::kWatch, orders_.store().DatabaseId(), 3));
}

TEST_F(WatchOrdersTest, ADrainsGoodbyeLosesNothing) {
  orders_.Drain();
  PlaceAll(Ids(1, 3));
  Watch watch(*stub_, MakeToken(TokenKind::kWatch, orders_.store().DatabaseId(), 2));
  EXPECT_FALSE(watch.Next()->has_order());
  ExpectGoodbye(watch.End(), MakeToken(TokenKind::kWatch, orders_.store().DatabaseId(), 2));
}

TEST_F(WatchOrdersTest, SendsEveryEventInOrderAcrossADrain) {
  constexpr int kWatches = 10;
  constexpr int kOrders = 300;
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < kWatches; ++i) watches.push_back(Stand(""));
  OrdersUnderTest next(database_, inventory_);
  const auto next_stub = next.NewStub();
  std::jthread places([&] { PlaceAll(Ids(1, kOrders)); });
  std::vector<std::future<std::vector<std::string>>> all;
  for (auto& watch : watches) {
    all.push_back(std::async(std::launch::async, [&] {
      std::vector<std::string> told;
      while (const auto message = watch->Next()) told.push_back(message->order().request_id());
      const absl::Status goodbye = watch->End();
      EXPECT_EQ(CodeAndReason(goodbye), "UNAVAILABLE SERVER_DRAINING");
      EXPECT_EQ(Metadata(goodbye, "resume_token"), watch->resume_token());
      Watch resumed(*next_stub, Metadata(goodbye, "resume_token"));
      EXPECT_FALSE(resumed.Next()->has_order());
      for (const std::string& id : resumed.Next(kOrders - static_cast<int>(told.size()))) {
        told.push_back(id);
      }
      return told;
    }));
  }
  ASSERT_TRUE(
      testkit::Eventually([this] { return *orders_.store().LastSequence(Soon()) > kOrders / 2; }));
  orders_.Drain();
  for (auto& told : all) EXPECT_EQ(told.get(), Ids(1, kOrders));
}

TEST_F(WatchOrdersTest, ItsCallerMayLeaveAtAnyMoment) {
  std::jthread places([this](std::stop_token stop) {
    for (int i = 0; !stop.stop_requested(); ++i) PlaceIn(orders_.store(), std::to_string(i));
  });
  for (int i = 0; i < 100; ++i) {
    Watch watch(*stub_, i % 2 == 0 ? "start" : "");
    watch.Next(i % 5);
    watch.Cancel();
    EXPECT_TRUE(absl::IsCancelled(watch.End()));
  }
}

TEST_F(WatchOrdersTest, ItsCallerMayLeaveDuringADrain) {
  std::vector<std::unique_ptr<Watch>> watches;
  for (int i = 0; i < 100; ++i) watches.push_back(Stand(""));
  std::jthread leave([&] {
    for (auto& watch : watches) watch->Cancel();
  });
  orders_.Drain();
  leave.join();
  for (auto& watch : watches) EXPECT_FALSE(watch->End().ok());
}

TEST_F(WatchOrdersTest, SaysThatTheDatabaseIsGone) {
  PlaceAll(Ids(1, 1));
  const auto sales = *Sales::Load(orders_.store(), Soon());
  ASSERT_TRUE(EventFeed(orders_.store(), *sales).CatchUp().ok());
  ASSERT_TRUE(sales->Save(Soon()).ok());
  OrdersUnderTest restarted(database_, inventory_);
  ASSERT_TRUE(restarted.store().Close(Soon()).ok());
  const auto stub = restarted.NewStub();
  Watch watch(*stub, "start");
  const absl::Status status = watch.End();
  EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE STORE_UNAVAILABLE");
  EXPECT_TRUE(SaysWhenToRetry(status));
}

}  // namespace
}  // namespace orders
