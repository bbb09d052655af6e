#include "service/orders/outbox_relay.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/testing/fake_inventory.h"
#include "service/orders/testing/temporary_database.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using ::testing::ElementsAre;

class OutboxRelayTest : public ::testing::Test {
 protected:
  ~OutboxRelayTest() override {
    inventory_.Release();
    Stop();
  }

  void Start() {
    thread_ = std::jthread([this](std::stop_token stop) { relay_.Run(stop); });
  }
  // Whether it ends soon, whatever the inventory does.
  void Stop() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
  }

  v1::OrderState StateOf(const std::string& request_id) {
    const auto order = store_->Find("order of " + request_id, Soon());
    return order.ok() && *order ? (*order)->state() : v1::ORDER_STATE_UNSPECIFIED;
  }
  bool AwaitState(const std::string& request_id, v1::OrderState state) {
    return testkit::Eventually([&] { return StateOf(request_id) == state; });
  }
  std::int64_t Waiting() { return store_->OutboxBacklog(Soon())->depth; }

  const TemporaryDatabase database_;
  const std::unique_ptr<OrderStore> store_ = database_.Open();
  FakeInventory inventory_;
  InventoryClient client_{inventory_.address()};
  std::atomic<int> settled_{0};
  OutboxRelay relay_{*store_, client_, [this] { ++settled_; }};
  std::jthread thread_;
};

TEST_F(OutboxRelayTest, ConfirmsAtTheInventoryAndThenSettles) {
  PlaceIn(*store_, "r1");
  PlaceIn(*store_, "r2");
  Start();
  EXPECT_TRUE(AwaitState("r1", v1::ORDER_STATE_CONFIRMED));
  EXPECT_TRUE(AwaitState("r2", v1::ORDER_STATE_CONFIRMED));
  EXPECT_THAT(inventory_.confirms(), ElementsAre("order/r1", "order/r2"));
  EXPECT_EQ(Waiting(), 0);
  EXPECT_TRUE(testkit::Eventually([this] { return settled_ == 2; }));
}

TEST_F(OutboxRelayTest, FindsNewItemsWhenItIsWoken) {
  Start();
  for (int i = 0; i < 20; ++i) {
    const std::string id = "r" + std::to_string(i);
    PlaceIn(*store_, id);
    relay_.Wake();
    ASSERT_TRUE(AwaitState(id, v1::ORDER_STATE_CONFIRMED));
  }
}

TEST_F(OutboxRelayTest, FindsByItselfWhatAnotherReplicaHasLeft) {
  Start();
  PlaceIn(*database_.Open(), "r1");
  EXPECT_TRUE(AwaitState("r1", v1::ORDER_STATE_CONFIRMED));
}

TEST_F(OutboxRelayTest, CancelsAnOrderWhoseReservationIsGone) {
  inventory_.AnswerConfirmOf("order/r1", {grpc::StatusCode::FAILED_PRECONDITION, "out of stock"});
  inventory_.AnswerConfirmOf("order/r2", {grpc::StatusCode::NOT_FOUND, "no such reservation"});
  for (const char* id : {"r1", "r2", "r3"}) PlaceIn(*store_, id);
  Start();
  EXPECT_TRUE(AwaitState("r1", v1::ORDER_STATE_CANCELLED));
  EXPECT_TRUE(AwaitState("r2", v1::ORDER_STATE_CANCELLED));
  EXPECT_TRUE(AwaitState("r3", v1::ORDER_STATE_CONFIRMED));
  EXPECT_EQ(Waiting(), 0);
}

TEST_F(OutboxRelayTest, TriesAgainUntilTheInventoryIsBack) {
  // More often than the channel itself tries.
  inventory_.RefuseNext(9);
  PlaceIn(*store_, "r1");
  Start();
  EXPECT_TRUE(AwaitState("r1", v1::ORDER_STATE_CONFIRMED));
  EXPECT_TRUE(testkit::Eventually([this] { return settled_ == 1; }));
}

TEST_F(OutboxRelayTest, BacksOffWhileTheInventoryRefuses) {
  inventory_.AnswerConfirm({grpc::StatusCode::RESOURCE_EXHAUSTED, "no more"});
  inventory_.AnswerConfirmOf("order/r1", {grpc::StatusCode::DEADLINE_EXCEEDED, "too slow"});
  for (const char* id : {"r1", "r2"}) PlaceIn(*store_, id);
  Start();
  ASSERT_TRUE(inventory_.AwaitConfirms(3));
  Stop();
  EXPECT_EQ(Waiting(), 2);
}

TEST_F(OutboxRelayTest, IsNotHeldUpByOneOrderThatCannotBeConfirmed) {
  inventory_.AnswerConfirmOf("order/r1", {grpc::StatusCode::INTERNAL, "a bug"});
  for (const char* id : {"r1", "r2"}) PlaceIn(*store_, id);
  Start();
  EXPECT_TRUE(AwaitState("r2", v1::ORDER_STATE_CONFIRMED));
  EXPECT_EQ(StateOf("r1"), v1::ORDER_STATE_PLACED);
  inventory_.AnswerConfirmOf("order/r1", grpc::Status::OK);
  EXPECT_TRUE(AwaitState("r1", v1::ORDER_STATE_CONFIRMED));
}

TEST_F(OutboxRelayTest, FinishesOnlyItsCurrentItemWhenStopped) {
  for (const char* id : {"r1", "r2"}) PlaceIn(*store_, id);
  inventory_.Hold();
  Start();
  ASSERT_TRUE(inventory_.AwaitConfirms(1));
  thread_.request_stop();
  inventory_.Release();
  Stop();
  EXPECT_EQ(StateOf("r1"), v1::ORDER_STATE_CONFIRMED);
  EXPECT_EQ(StateOf("r2"), v1::ORDER_STATE_PLACED);
  EXPECT_THAT(inventory_.confirms(), ElementsAre("order/r1"));
}

TEST_F(OutboxRelayTest, LeavesItsItemForTheNextStartWhenTheInventoryHangs) {
  PlaceIn(*store_, "r1");
  inventory_.Hold();
  Start();
  ASSERT_TRUE(inventory_.AwaitConfirms(1));
  // Returns though the inventory never answers.
  Stop();
  EXPECT_EQ(StateOf("r1"), v1::ORDER_STATE_PLACED);
  EXPECT_TRUE(inventory_.AwaitCancelled(1));

  inventory_.Release();
  Start();
  EXPECT_TRUE(AwaitState("r1", v1::ORDER_STATE_CONFIRMED));
}

TEST_F(OutboxRelayTest, EndsWhenItIsStoppedWhileItBacksOff) {
  inventory_.Stop();
  PlaceIn(*store_, "r1");
  Start();
  relay_.Wake();
  Stop();
  EXPECT_EQ(StateOf("r1"), v1::ORDER_STATE_PLACED);
}

TEST_F(OutboxRelayTest, GoesOnWhenTheStoreIsClosed) {
  ASSERT_TRUE(store_->Close(Soon()).ok());
  Start();
  Stop();
}

TEST_F(OutboxRelayTest, SettlesEachOrderOnceWhenReplicasShareTheOutbox) {
  constexpr int kOrders = 100;
  const auto replica = database_.Open();
  OutboxRelay other(*replica, client_, [] {});
  std::jthread other_runs([&](std::stop_token stop) { other.Run(stop); });
  Start();
  for (int i = 0; i < kOrders; ++i) {
    PlaceIn(*store_, "r" + std::to_string(i));
    relay_.Wake();
    other.Wake();
  }
  ASSERT_TRUE(testkit::Eventually([this] { return Waiting() == 0; }));
  Stop();
  EXPECT_EQ(*store_->LastSequence(Soon()), 2 * kOrders);
}

}  // namespace
}  // namespace orders
