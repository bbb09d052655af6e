#include "service/orders/order_placer.h"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "google/protobuf/message.h"
#include "google/protobuf/unknown_field_set.h"
#include "gtest/gtest.h"
#include "service/orders/testing/fake_inventory.h"
#include "service/orders/testing/fake_order_log.h"
#include "service/orders/testing/status_details.h"
#include "service/orders/testing/temporary_database.h"
#include "service/sqlite/testing/failing_disk.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;

class OrderPlacerTest : public ::testing::Test {
 protected:
  using Answer = absl::StatusOr<v1::Order>;

  // `request` lives until the answer is there.
  std::future<Answer> Start(const v1::PlaceOrderRequest& request) {
    auto promise = std::make_shared<std::promise<Answer>>();
    placer_.Place(caller_, request,
                  [promise](Answer placed) { promise->set_value(std::move(placed)); });
    return promise->get_future();
  }
  static Answer Get(std::future<Answer> answer) {
    if (answer.wait_for(testkit::kLong) != std::future_status::ready) {
      return absl::DeadlineExceededError("`done` was not called");
    }
    return answer.get();
  }
  Answer Place(const v1::PlaceOrderRequest& request) { return Get(Start(request)); }

  std::size_t Stored() { return store_->List(0, 1000, Soon())->orders.size(); }

  const TemporaryDatabase database_;
  const std::unique_ptr<OrderStore> store_ = database_.Open();
  FakeInventory inventory_;
  InventoryClient client_{inventory_.address()};
  std::atomic<int> told_{0};
  // Of no real call: without deadline, never cancelled.
  const grpc::CallbackServerContext context_;
  const rpc::Call caller_{context_};
  rpc::BlockingPool pool_{2, 100};
  std::atomic<bool> behind_{false};
  OrderPlacer placer_{
      *store_, client_, pool_, {[this] { ++told_; }, [this] { return behind_.load(); }}};
};

TEST_F(OrderPlacerTest, ReservesThenStoresThenTells) {
  const v1::PlaceOrderRequest request = NewRequest("r1", "tea", 3);
  inventory_.Hold();
  auto answer = Start(request);
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  EXPECT_EQ(Stored(), 0u);
  EXPECT_EQ(told_, 0);
  inventory_.Release();

  const Answer placed = Get(std::move(answer));
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_EQ(told_, 1);
  EXPECT_EQ(placed->request_id(), "r1");
  EXPECT_EQ(placed->customer(), "Ada");
  EXPECT_EQ(placed->items(0).quantity(), 3);
  EXPECT_EQ(placed->state(), v1::ORDER_STATE_PLACED);
  EXPECT_GT(placed->create_time().seconds(), 1600000000);
  EXPECT_EQ((*store_->Find(placed->order_id(), Soon()))->SerializeAsString(),
            placed->SerializeAsString());
  const auto outbox = store_->Claim(10, std::chrono::seconds(30), Soon());
  EXPECT_EQ(outbox->at(0).reservation_id, inventory_.reserves().at(0).reservation_id());
  EXPECT_THAT(inventory_.releases(), IsEmpty());
}

TEST_F(OrderPlacerTest, StoresNoFieldsThatItDoesNotKnow) {
  const v1::PlaceOrderRequest known = NewRequest("r1", "tea", 3);
  v1::PlaceOrderRequest request = known;
  const std::string large(4'000'000, 'x');
  for (google::protobuf::Message* message :
       {static_cast<google::protobuf::Message*>(&request),
        static_cast<google::protobuf::Message*>(request.mutable_items(0))}) {
    message->GetReflection()->MutableUnknownFields(message)->AddLengthDelimited(1000, large);
  }
  const Answer placed = Place(request);
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_LT(placed->ByteSizeLong(), 200u);
  EXPECT_EQ(placed->items(0).ByteSizeLong(), known.items(0).ByteSizeLong());
  EXPECT_LT((*store_->Find(placed->order_id(), Soon()))->ByteSizeLong(), 200u);
  EXPECT_LT(store_->EventsAfter(0, 1, Soon())->at(0).order.ByteSizeLong(), 200u);
}

TEST_F(OrderPlacerTest, GivesEveryOrderAnIdOfItsOwn) {
  std::set<std::string> ids;
  for (int i = 0; i < 50; ++i) ids.insert(Place(NewRequest("r" + std::to_string(i)))->order_id());
  EXPECT_EQ(ids.size(), 50u);
}

TEST_F(OrderPlacerTest, AnswersAWrongRequestBeforeItReturns) {
  bool answered = false;
  placer_.Place(caller_, v1::PlaceOrderRequest(), [&](const Answer& placed) {
    answered = true;
    EXPECT_TRUE(absl::IsInvalidArgument(placed.status()));
  });
  EXPECT_TRUE(answered);
  EXPECT_THAT(inventory_.reserves(), IsEmpty());
}

TEST_F(OrderPlacerTest, AnswersARetryThoughTheInventoryIsGone) {
  const Answer first = Place(NewRequest("r1"));
  ASSERT_TRUE(first.ok()) << first.status();
  inventory_.Stop();
  const Answer again = Place(NewRequest("r1"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->order_id(), first->order_id());
}

TEST_F(OrderPlacerTest, StoresNothingThatIsNotReserved) {
  inventory_.AnswerReserve({grpc::StatusCode::FAILED_PRECONDITION, "no tea"});
  EXPECT_EQ(CodeAndReason(Place(NewRequest("r1")).status()), "FAILED_PRECONDITION OUT_OF_STOCK");
  EXPECT_EQ(Stored(), 0u);
  EXPECT_EQ(told_, 0);
  inventory_.AnswerReserve(grpc::Status::OK);
  EXPECT_TRUE(Place(NewRequest("r1")).ok());
}

TEST_F(OrderPlacerTest, RefusesAnIdThatAnotherOrderHas) {
  ASSERT_TRUE(Place(NewRequest("r1", "tea", 1)).ok());
  EXPECT_EQ(CodeAndReason(Place(NewRequest("r1", "tea", 2)).status()),
            "ALREADY_EXISTS REQUEST_ID_REUSED");
  EXPECT_EQ(inventory_.reserves().size(), 1u);
}

TEST_F(OrderPlacerTest, RefusesAnIdThatAnotherOrderTakesMeanwhile) {
  const v1::PlaceOrderRequest request = NewRequest("r1", "tea", 1);
  inventory_.Hold();
  auto answer = Start(request);
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  PlaceIn(*database_.Open(), "r1", "tea", 2);
  inventory_.Release();
  EXPECT_EQ(CodeAndReason(Get(std::move(answer)).status()), "ALREADY_EXISTS REQUEST_ID_REUSED");
}

TEST_F(OrderPlacerTest, ReservesUnderANewIdEachTime) {
  inventory_.AnswerReserve({grpc::StatusCode::FAILED_PRECONDITION, "no tea"});
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(Place(NewRequest("r1")).ok());
  std::set<std::string> ids;
  for (const auto& reserve : inventory_.reserves()) ids.insert(reserve.reservation_id());
  EXPECT_EQ(ids.size(), 20u);
}

TEST_F(OrderPlacerTest, ReturnsStockWhenTheOrderIsNotStored) {
  const v1::PlaceOrderRequest request = NewRequest("r1");
  inventory_.Hold();
  auto answer = Start(request);
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  ASSERT_TRUE(store_->Close(Soon()).ok());
  inventory_.Release();
  EXPECT_EQ(CodeAndReason(Get(std::move(answer)).status()), "UNAVAILABLE STORE_UNAVAILABLE");
  ASSERT_TRUE(inventory_.AwaitReleases(1));
  EXPECT_THAT(inventory_.releases(), ElementsAre(inventory_.reserves().at(0).reservation_id()));
}

TEST_F(OrderPlacerTest, KeepsTheStockOfAnOrderWhoseOutcomeIsOpen) {
  {
    sqlite::FailingDisk disk;
    disk.FailSyncs(EIO);
    EXPECT_FALSE(Place(NewRequest("r1")).ok());
  }
  client_.Abandon("another");
  EXPECT_TRUE(inventory_.AwaitReleases(1));
  EXPECT_THAT(inventory_.releases(), Not(Contains(inventory_.reserves().at(0).reservation_id())));
}

// Knows nothing of an order until it says that it is not stored.
class UncertainStore final : public FakeOrderLog {
 public:
  absl::StatusOr<std::optional<v1::Order>> FindByRequestId(const std::string&, Deadline) override {
    return std::optional<v1::Order>();
  }
  absl::StatusOr<Placed> Place(NewOrder order, Deadline) override {
    not_stored = std::move(order.not_stored);
    return absl::UnknownError("it may be stored");
  }

  std::function<void()> not_stored;
};

TEST_F(OrderPlacerTest, ReturnsTheStockOnceAnOpenOutcomeIsNotStored) {
  UncertainStore store;
  auto placer = std::make_unique<OrderPlacer>(store, client_, pool_,
                                              OrderPlacer::Hooks{[] {}, [] { return false; }});
  const auto place = [&](const v1::PlaceOrderRequest& request) {
    std::promise<Answer> answer;
    placer->Place(caller_, request, [&](Answer placed) { answer.set_value(std::move(placed)); });
    return Get(answer.get_future());
  };
  EXPECT_EQ(CodeAndReason(place(NewRequest("r1")).status()), "UNAVAILABLE OUTCOME_UNKNOWN");
  EXPECT_THAT(inventory_.releases(), IsEmpty());
  ASSERT_TRUE(store.not_stored);
  store.not_stored();
  ASSERT_TRUE(inventory_.AwaitReleases(1));
  EXPECT_THAT(inventory_.releases(), ElementsAre(inventory_.reserves().at(0).reservation_id()));

  // A writer may outlive all others.
  EXPECT_FALSE(place(NewRequest("r2")).ok());
  ASSERT_TRUE(pool_.Close(Soon()).ok());
  placer.reset();
  store.not_stored();
  client_.Abandon("another");
  ASSERT_TRUE(inventory_.AwaitReleases(2));
  EXPECT_EQ(inventory_.releases().back(), "another");
}

TEST_F(OrderPlacerTest, GivesStockBackWhenReservingIsUncertain) {
  inventory_.AnswerReserve({grpc::StatusCode::DEADLINE_EXCEEDED, "too slow"});
  EXPECT_EQ(CodeAndReason(Place(NewRequest("r1")).status()), "UNAVAILABLE INVENTORY_UNAVAILABLE");
  EXPECT_TRUE(inventory_.AwaitReleases(1));
}

TEST_F(OrderPlacerTest, AcceptsNoOrderWhileTheRelayIsBehind) {
  const Answer before = Place(NewRequest("r1"));
  behind_ = true;
  const absl::Status refused = Place(NewRequest("r2")).status();
  EXPECT_EQ(CodeAndReason(refused), "RESOURCE_EXHAUSTED OVERLOADED");
  EXPECT_TRUE(SaysWhenToRetry(refused));
  EXPECT_EQ(inventory_.reserves().size(), 1u) << "the inventory is not asked";
  const Answer again = Place(NewRequest("r1"));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->order_id(), before->order_id()) << "what is placed is placed";
  behind_ = false;
  EXPECT_TRUE(Place(NewRequest("r2")).ok());
}

TEST_F(OrderPlacerTest, IsOverloadedWhenThePoolIs) {
  ASSERT_TRUE(pool_.Close(lifecycle::Clock::TimePoint::max()).ok());
  const absl::Status status = Place(NewRequest("r1")).status();
  EXPECT_EQ(CodeAndReason(status), "RESOURCE_EXHAUSTED OVERLOADED");
  EXPECT_TRUE(SaysWhenToRetry(status));
}

TEST_F(OrderPlacerTest, APoolFullAfterTheReservationMeansOverload) {
  const v1::PlaceOrderRequest request = NewRequest("r1");
  inventory_.Hold();
  auto answer = Start(request);
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  ASSERT_TRUE(pool_.Close(lifecycle::Clock::TimePoint::max()).ok());
  inventory_.Release();
  EXPECT_EQ(CodeAndReason(Get(std::move(answer)).status()), "RESOURCE_EXHAUSTED OVERLOADED");
  EXPECT_EQ(Stored(), 0u);
  EXPECT_TRUE(inventory_.AwaitReleases(1));
}

TEST_F(OrderPlacerTest, FinishesWhatIsReservedThoughThePoolIsFull) {
  rpc::BlockingPool pool(1, 1);
  OrderPlacer placer(*store_, client_, pool, {[] {}, [] { return false; }});
  const v1::PlaceOrderRequest request = NewRequest("r1");
  std::promise<Answer> answer;
  std::future<Answer> answered = answer.get_future();
  inventory_.Hold();
  placer.Place(caller_, request, [&](Answer placed) { answer.set_value(std::move(placed)); });
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  std::promise<void> begun, go;
  ASSERT_TRUE(pool.Run([&] {
    begun.set_value();
    go.get_future().wait();
  }));
  begun.get_future().wait();
  ASSERT_TRUE(pool.Run([] {}));
  ASSERT_FALSE(pool.Run([] {})) << "it is full";
  inventory_.Release();
  EXPECT_EQ(answered.wait_for(std::chrono::milliseconds(200)), std::future_status::timeout)
      << "it was refused";
  go.set_value();
  EXPECT_TRUE(Get(std::move(answered)).ok());
  EXPECT_EQ(Stored(), 1u);
}

TEST_F(OrderPlacerTest, SaysThatTheStoreIsGone) {
  ASSERT_TRUE(store_->Close(Soon()).ok());
  const absl::Status status = Place(NewRequest("r1")).status();
  EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE STORE_UNAVAILABLE");
  EXPECT_TRUE(SaysWhenToRetry(status));
}

TEST_F(OrderPlacerTest, PlacesOneOrderForManyRetriesAtOnce) {
  const v1::PlaceOrderRequest request = NewRequest("r1");
  inventory_.Hold();
  std::vector<std::future<Answer>> answers;
  for (int i = 0; i < 8; ++i) answers.push_back(Start(request));
  ASSERT_TRUE(inventory_.AwaitReserves(8));
  inventory_.Release();
  std::set<std::string> ids;
  for (auto& answer : answers) {
    const Answer placed = Get(std::move(answer));
    ASSERT_TRUE(placed.ok()) << placed.status();
    ids.insert(placed->order_id());
  }
  EXPECT_EQ(ids.size(), 1u);
  // Seven of the eight reservations are given back, and the order keeps its own.
  ASSERT_TRUE(inventory_.AwaitReleases(7));
  const auto outbox = store_->Claim(10, std::chrono::seconds(30), Soon());
  EXPECT_THAT(inventory_.releases(), Not(Contains(outbox->at(0).reservation_id)));
  EXPECT_EQ(Stored(), 1u);
  EXPECT_EQ(*store_->LastSequence(Soon()), 1);
}

}  // namespace
}  // namespace orders
