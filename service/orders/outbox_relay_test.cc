#include "service/orders/outbox_relay.h"

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/lifecycle/testing/fake_clock.h"
#include "service/orders/testing/fake_inventory.h"
#include "service/orders/testing/fake_order_log.h"
#include "service/orders/testing/temporary_database.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using std::chrono::milliseconds;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

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
  void Place(int orders) {
    for (int i = 0; i < orders; ++i) PlaceIn(*store_, "r" + std::to_string(i));
  }

  v1::OrderState StateOf(const std::string& request_id) {
    const auto order = store_->Find("order of " + request_id, Soon());
    return order.ok() && *order ? (*order)->state() : v1::ORDER_STATE_UNSPECIFIED;
  }
  bool AwaitState(const std::string& request_id, v1::OrderState state) {
    return testkit::Eventually([&] { return StateOf(request_id) == state; });
  }
  std::int64_t Waiting() { return store_->OutboxBacklog(Soon())->depth; }
  bool AwaitNothingWaits() {
    return testkit::Eventually([this] { return Waiting() == 0; });
  }

  const TemporaryDatabase database_;
  const std::unique_ptr<OrderStore> store_ = database_.Open();
  FakeInventory inventory_;
  InventoryClient client_{inventory_.address()};
  OutboxRelay relay_{*store_, client_};
  std::jthread thread_;
};

TEST_F(OutboxRelayTest, ConfirmsAtTheInventoryAndThenSettles) {
  PlaceIn(*store_, "r1");
  PlaceIn(*store_, "r2");
  Start();
  EXPECT_TRUE(AwaitState("r1", v1::ORDER_STATE_CONFIRMED));
  EXPECT_TRUE(AwaitState("r2", v1::ORDER_STATE_CONFIRMED));
  EXPECT_THAT(inventory_.confirms(), UnorderedElementsAre("order/r1", "order/r2"));
  EXPECT_EQ(Waiting(), 0);
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

TEST_F(OutboxRelayTest, ReleasesTheStockOfACancelledOrder) {
  PlaceIn(*store_, "r1");
  ASSERT_TRUE(store_->Cancel("order of r1", Soon()).ok());
  Start();
  EXPECT_TRUE(AwaitNothingWaits());
  EXPECT_THAT(inventory_.releases(), ElementsAre("order/r1"));
  EXPECT_THAT(inventory_.confirms(), IsEmpty());
  EXPECT_EQ(StateOf("r1"), v1::ORDER_STATE_CANCELLED);
  EXPECT_EQ(*store_->LastSequence(Soon()), 2);
}

TEST_F(OutboxRelayTest, ReleasesAnOrderCancelledDuringItsConfirmation) {
  PlaceIn(*store_, "r1");
  inventory_.Hold();
  Start();
  ASSERT_TRUE(inventory_.AwaitConfirms(1));
  ASSERT_TRUE(store_->Cancel("order of r1", Soon()).ok());
  inventory_.Release();
  EXPECT_TRUE(AwaitNothingWaits());
  EXPECT_THAT(inventory_.releases(), ElementsAre("order/r1"));
  EXPECT_EQ(StateOf("r1"), v1::ORDER_STATE_CANCELLED);
  Stop();
  EXPECT_EQ(relay_.Status().settled, 1) << "the confirmation's item was gone";
}

TEST_F(OutboxRelayTest, TriesAReleaseAgainUntilItSucceeds) {
  PlaceIn(*store_, "r1");
  ASSERT_TRUE(store_->Cancel("order of r1", Soon()).ok());
  // More often than the channel itself tries.
  inventory_.RefuseNext(9);
  Start();
  EXPECT_TRUE(inventory_.AwaitReleases(10));
  EXPECT_TRUE(AwaitNothingWaits());
}

TEST_F(OutboxRelayTest, TriesAgainUntilTheInventoryIsBack) {
  // More often than the channel itself tries.
  inventory_.RefuseNext(9);
  PlaceIn(*store_, "r1");
  Start();
  EXPECT_TRUE(AwaitState("r1", v1::ORDER_STATE_CONFIRMED));
}

TEST_F(OutboxRelayTest, LimitsItsConcurrentCallsToTheInventory) {
  Place(40);
  inventory_.Hold();
  Start();
  ASSERT_TRUE(inventory_.AwaitConfirms(16));
  EXPECT_EQ(inventory_.confirms().size(), 16u);
  inventory_.Release();
  EXPECT_TRUE(AwaitNothingWaits());
  EXPECT_EQ(inventory_.confirms().size(), 40u);
}

// Pages of 512: twice as many at once after each one.
TEST_F(OutboxRelayTest, AsksMoreAtOnceWhileMuchWaits) {
  constexpr int kFree = 3 * 512;
  Place(4 * 512);
  inventory_.Hold(kFree);
  Start();
  ASSERT_TRUE(inventory_.AwaitConfirms(kFree + 128));
  EXPECT_EQ(inventory_.confirms().size(), kFree + 128u);
  inventory_.Release();
  EXPECT_TRUE(AwaitNothingWaits());
}

TEST_F(OutboxRelayTest, PausesForAnOverloadedInventoryKeepingEachItem) {
  for (const auto code : {grpc::StatusCode::RESOURCE_EXHAUSTED, grpc::StatusCode::UNAVAILABLE,
                          grpc::StatusCode::DEADLINE_EXCEEDED}) {
    FakeInventory overloaded;
    InventoryClient client(overloaded.address());
    OutboxRelay relay(*store_, client);
    if (Waiting() == 0) Place(100);
    overloaded.AnswerConfirm({code, "no more"});
    overloaded.Hold();
    std::jthread runs([&](std::stop_token stop) { relay.Run(stop); });
    ASSERT_TRUE(overloaded.AwaitConfirms(16));
    overloaded.Release();
    // The next pages: half as many each time, so never near 100 before the first one is known.
    ASSERT_TRUE(overloaded.AwaitConfirms(17));
    runs.request_stop();
    runs.join();
    const auto confirms = overloaded.confirms();
    EXPECT_LT(std::set(confirms.begin(), confirms.end()).size(), 100u) << code;
    EXPECT_EQ(Waiting(), 100) << code;
  }
  Start();
  EXPECT_TRUE(AwaitNothingWaits()) << "when it is back, all of them are confirmed";
  EXPECT_EQ(StateOf("r99"), v1::ORDER_STATE_CONFIRMED);
}

TEST_F(OutboxRelayTest, OneUnconfirmableOrderHoldsUpNoOther) {
  inventory_.AnswerConfirmOf("order/r1", {grpc::StatusCode::INTERNAL, "a bug"});
  for (const char* id : {"r1", "r2"}) PlaceIn(*store_, id);
  Start();
  EXPECT_TRUE(AwaitState("r2", v1::ORDER_STATE_CONFIRMED));
  EXPECT_EQ(StateOf("r1"), v1::ORDER_STATE_PLACED);
  inventory_.AnswerConfirmOf("order/r1", grpc::Status::OK);
  EXPECT_TRUE(AwaitState("r1", v1::ORDER_STATE_CONFIRMED));
}

TEST_F(OutboxRelayTest, AStopSettlesAnswersAndReturnsTheRest) {
  lifecycle::FakeClock clock;  // Stands still: the answers have all the time.
  OutboxRelay relay(*store_, client_, clock);
  Place(20);
  inventory_.Hold();
  std::jthread runs([&](std::stop_token stop) { relay.Run(stop); });
  EXPECT_TRUE(inventory_.AwaitConfirms(16));
  runs.request_stop();
  inventory_.Release();
  runs.join();
  EXPECT_EQ(inventory_.confirms().size(), 16u);
  EXPECT_EQ(Waiting(), 4);
  // Nobody waits for a lease to end, and what is new comes last.
  PlaceIn(*store_, "new");
  const auto rest = store_->Claim(20, std::chrono::seconds(30), Soon());
  ASSERT_TRUE(rest.ok()) << rest.status();
  ASSERT_EQ(rest->size(), 5u);
  EXPECT_EQ(rest->back().order_id, "order of new");
  for (const OutboxItem& item : *rest) EXPECT_EQ(item.attempts, 1) << item.order_id;
}

TEST_F(OutboxRelayTest, AHangingInventoryLeavesItsItemForLater) {
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

TEST_F(OutboxRelayTest, AStopEndsItsBackoff) {
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

TEST_F(OutboxRelayTest, ThreeReplicasConfirmEachOrderOnce) {
  constexpr int kOrders = 300;
  const auto second = database_.Open();
  const auto third = database_.Open();
  OutboxRelay relays[] = {{*second, client_}, {*third, client_}};
  std::vector<std::jthread> run;
  for (OutboxRelay& relay : relays) {
    run.emplace_back([&relay](std::stop_token stop) { relay.Run(stop); });
  }
  Start();
  for (int i = 0; i < kOrders; ++i) {
    PlaceIn(*store_, "r" + std::to_string(i));
    relay_.Wake();
    for (OutboxRelay& relay : relays) relay.Wake();
  }
  ASSERT_TRUE(AwaitNothingWaits());
  const auto confirms = inventory_.confirms();
  EXPECT_EQ(confirms.size(), static_cast<std::size_t>(kOrders));
  EXPECT_EQ(std::set(confirms.begin(), confirms.end()).size(), static_cast<std::size_t>(kOrders));
  EXPECT_EQ(*store_->LastSequence(Soon()), 2 * kOrders);
}

// An outbox that says of itself what the test wants, and counts.
class FakeOutbox final : public FakeOrderLog {
 public:
  void SetBacklog(Backlog backlog) {
    std::lock_guard lock(mutex_);
    backlog_ = backlog;
  }
  void Add(int items) {
    std::lock_guard lock(mutex_);
    for (int i = 0; i < items; ++i) {
      OutboxItem& item = items_.emplace_back();
      item.id = i;
      item.reservation_id = std::to_string(i);
    }
  }
  void Lock(int items) {
    std::lock_guard lock(mutex_);
    locked_ = items;
  }
  void FailClaims(absl::Status fault) {
    std::lock_guard lock(mutex_);
    fault_ = std::move(fault);
  }
  void FailCounts(absl::Status fault) {
    std::lock_guard lock(mutex_);
    count_fault_ = std::move(fault);
  }
  std::vector<std::size_t> settled() {
    std::lock_guard lock(mutex_);
    return settled_;
  }

  milliseconds lease() {
    std::lock_guard lock(mutex_);
    return lease_;
  }

  absl::StatusOr<std::vector<OutboxItem>> Claim(int, milliseconds lease, Deadline) override {
    std::lock_guard lock(mutex_);
    lease_ = lease;
    if (!fault_.ok()) return fault_;
    return std::exchange(items_, {});
  }
  absl::StatusOr<Settled> Settle(const std::vector<Settlement>& settlements, Deadline) override {
    std::lock_guard lock(mutex_);
    settled_.push_back(settlements.size());
    return Settled{.removed = static_cast<std::int64_t>(settlements.size()) - locked_,
                   .locked = locked_};
  }
  absl::Status Postpone(const std::vector<OutboxItem>&, milliseconds, Deadline) override {
    return absl::OkStatus();
  }
  absl::Status GiveBack(const std::vector<OutboxItem>&, Deadline) override {
    return absl::OkStatus();
  }
  absl::StatusOr<Backlog> OutboxBacklog(Deadline) override {
    std::lock_guard lock(mutex_);
    if (!count_fault_.ok()) return count_fault_;
    return backlog_;
  }

 private:
  std::mutex mutex_;
  absl::Status fault_;                // Guarded by mutex_.
  absl::Status count_fault_;          // Guarded by mutex_.
  milliseconds lease_{0};             // Guarded by mutex_.
  Backlog backlog_;                   // Guarded by mutex_.
  std::vector<OutboxItem> items_;     // Guarded by mutex_.
  std::int64_t locked_ = 0;           // Guarded by mutex_.
  std::vector<std::size_t> settled_;  // Guarded by mutex_.
};

class OutboxRelayClockTest : public ::testing::Test {
 protected:
  ~OutboxRelayClockTest() override { thread_.request_stop(); }

  void Start() {
    thread_ = std::jthread([this](std::stop_token stop) { relay_.Run(stop); });
    clock_.AwaitWaiters(1);
  }
  // The relay has looked, and rests.
  OutboxStatus After(milliseconds time, Backlog backlog) {
    outbox_.SetBacklog(backlog);
    clock_.Advance(time);
    clock_.AwaitWaiters(1);
    return relay_.Status();
  }

  lifecycle::FakeClock clock_;
  FakeOutbox outbox_;
  FakeInventory inventory_;
  InventoryClient client_{inventory_.address()};
  OutboxRelay relay_{outbox_, client_, clock_};
  std::jthread thread_;
};

TEST_F(OutboxRelayClockTest, LeasesForLongerThanAPageCanTake) {
  Start();
  // Calls begin for 3 s, the last one may take 5 s, and to settle takes as long as the store may.
  EXPECT_GE(outbox_.lease(), std::chrono::seconds(3 + 5) + OrderStore::kTimeout);
  EXPECT_LE(outbox_.lease(), std::chrono::minutes(1)) << "what a killed replica held waits as long";
}

TEST_F(OutboxRelayClockTest, PushesBackFromHalfAReservationsLife) {
  Start();
  EXPECT_EQ(OutboxRelay::kMaxAge * 2, milliseconds(InventoryClient::kReservationLife));
  const milliseconds second(1000);
  EXPECT_FALSE(After(second, {7, OutboxRelay::kMaxAge, OutboxRelay::kMaxAge}).pushing_back);
  const milliseconds old = OutboxRelay::kMaxAge + milliseconds(1);
  EXPECT_FALSE(After(second, {7, old, milliseconds(10)}).pushing_back) << "nothing expires";
  const OutboxStatus behind = After(second, {900, old, old});
  EXPECT_TRUE(behind.pushing_back);
  EXPECT_EQ(behind.depth, 900);
  EXPECT_EQ(behind.oldest_age, old);
  EXPECT_FALSE(After(second, {3, milliseconds(10), milliseconds(10)}).pushing_back);
}

TEST_F(OutboxRelayClockTest, KnowsTheBacklogBeforeItRuns) {
  const milliseconds old = OutboxRelay::kMaxAge + milliseconds(1);
  outbox_.SetBacklog({900, old, old});
  ASSERT_TRUE(relay_.LookAtBacklog().ok());
  EXPECT_TRUE(relay_.Status().pushing_back);
}

TEST_F(OutboxRelayClockTest, SaysWhatIsWrongWhileItIs) {
  Start();
  EXPECT_TRUE(relay_.Health().ok());
  outbox_.FailClaims(absl::UnavailableError("no server"));
  const OutboxStatus failing = After(milliseconds(1000), {7, milliseconds(20), {}});
  EXPECT_TRUE(failing.in_trouble);
  EXPECT_GT(failing.troubles, 0);
  EXPECT_THAT(relay_.Health().ToString(), AllOf(HasSubstr("7 items wait"), HasSubstr("no server")));

  outbox_.FailClaims(absl::OkStatus());
  EXPECT_FALSE(After(milliseconds(2000), {7, milliseconds(20), {}}).in_trouble);
  EXPECT_TRUE(relay_.Health().ok());
  // What it was stays known.
  EXPECT_THAT(relay_.Status().last_trouble, HasSubstr("no server"));

  After(milliseconds(1000), {7, milliseconds(11'000), {}});
  EXPECT_THAT(relay_.Health().ToString(), HasSubstr("the oldest for 11 s"));
}

TEST_F(OutboxRelayClockTest, IsInTroubleWhileItDoesNotKnowHowMuchWaits) {
  Start();
  EXPECT_FALSE(After(milliseconds(1000), {7, milliseconds(20), {}}).in_trouble);
  outbox_.FailCounts(absl::UnavailableError("no index"));
  EXPECT_TRUE(After(milliseconds(1000), {8, milliseconds(20), {}}).in_trouble);
  EXPECT_THAT(relay_.Health().ToString(),
              AllOf(HasSubstr("the outbox cannot be counted"), HasSubstr("no index")));
  // It has not looked again, so it knows no more.
  EXPECT_TRUE(After(milliseconds(500), {8, milliseconds(20), {}}).in_trouble);

  outbox_.FailCounts(absl::OkStatus());
  EXPECT_FALSE(After(milliseconds(500), {8, milliseconds(20), {}}).in_trouble);
  EXPECT_TRUE(relay_.Health().ok());
}

TEST_F(OutboxRelayClockTest, TheOldestAgesWhileTheStoreIsAway) {
  Start();
  EXPECT_EQ(After(milliseconds(1000), {7, milliseconds(20), {}}).oldest_age, milliseconds(20));
  for (const absl::Status& fault : {absl::UnavailableError("no server"), absl::OkStatus()}) {
    outbox_.FailClaims(fault);
    outbox_.FailCounts(fault);
    After(milliseconds(1000), {8, milliseconds(30), {}});
    const OutboxStatus later = After(milliseconds(60'000), {8, milliseconds(30), {}});
    EXPECT_EQ(later.in_trouble, !fault.ok());
    EXPECT_EQ(later.depth, fault.ok() ? 8 : 7);
    EXPECT_EQ(later.oldest_age, milliseconds(fault.ok() ? 30 : 61'020));
  }
}

// Another replica's order may have come since: the alert takes the youngest age that any replica has.
TEST_F(OutboxRelayClockTest, AgesFromNothingWhileTheStoreIsAway) {
  Start();
  outbox_.FailClaims(absl::UnavailableError("no server"));
  outbox_.FailCounts(absl::UnavailableError("no server"));
  const OutboxStatus away = After(milliseconds(60'000), {8, milliseconds(30), {}});
  EXPECT_TRUE(away.in_trouble);
  EXPECT_EQ(away.depth, 0);
  EXPECT_EQ(away.oldest_age, milliseconds(60'000));
  EXPECT_THAT(relay_.Health().ToString(), HasSubstr("nothing waited 60 s ago"));

  outbox_.FailClaims(absl::OkStatus());
  outbox_.FailCounts(absl::OkStatus());
  EXPECT_EQ(After(milliseconds(2000), {}).oldest_age, milliseconds(0));
  EXPECT_TRUE(relay_.Health().ok());
}

TEST_F(OutboxRelayClockTest, AgesFromItsOwnStartUntilItHasLooked) {
  clock_.Advance(milliseconds(5000));
  OutboxRelay late(outbox_, client_, clock_);
  outbox_.FailClaims(absl::UnavailableError("no server"));
  outbox_.FailCounts(absl::UnavailableError("no server"));
  const std::jthread thread([&](std::stop_token stop) { late.Run(stop); });
  clock_.AwaitWaiters(1);
  clock_.Advance(milliseconds(1000));
  clock_.AwaitWaiters(1);
  EXPECT_EQ(late.Status().oldest_age, milliseconds(1000));
}

TEST_F(OutboxRelayClockTest, ReadsTheBacklogOnceASecond) {
  Start();
  EXPECT_EQ(After(milliseconds(500), {5, milliseconds(1), {}}).depth, 0);
  EXPECT_EQ(After(milliseconds(500), {6, milliseconds(1), {}}).depth, 6);
}

TEST_F(OutboxRelayClockTest, SettlesAPageInOneTransaction) {
  outbox_.Add(100);
  Start();
  ASSERT_TRUE(testkit::Eventually([this] { return !outbox_.settled().empty(); }));
  EXPECT_THAT(outbox_.settled(), ElementsAre(100u));
  EXPECT_TRUE(testkit::Eventually([this] { return relay_.Status().settled == 100; }));
  EXPECT_EQ(inventory_.confirms().size(), 100u);
}

TEST_F(OutboxRelayClockTest, SaysHowManyItemsAreLocked) {
  outbox_.Lock(3);
  outbox_.Add(10);
  Start();
  ASSERT_TRUE(testkit::Eventually([this] { return relay_.Status().settled > 0; }));
  clock_.AwaitWaiters(1);
  const OutboxStatus status = relay_.Status();
  EXPECT_EQ(status.settled, 7);
  EXPECT_EQ(status.troubles, 1);
  EXPECT_TRUE(status.in_trouble);
  EXPECT_THAT(status.last_trouble, HasSubstr("3 items are locked"));
}

}  // namespace
}  // namespace orders
