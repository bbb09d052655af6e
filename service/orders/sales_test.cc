#include "service/orders/sales.h"

#include <chrono>
#include <memory>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/event_feed.h"
#include "service/orders/testing/fake_order_log.h"
#include "service/orders/testing/temporary_database.h"

namespace orders {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

OrderEvent Event(std::int64_t sequence, v1::OrderState state, int quantity) {
  OrderEvent event;
  event.sequence = sequence;
  event.order.set_state(state);
  v1::OrderItem& item = *event.order.add_items();
  item.set_sku("tea");
  item.set_quantity(quantity);
  return event;
}

class SalesTest : public ::testing::Test {
 protected:
  std::unique_ptr<Sales> Load() {
    auto sales = Sales::Load(*store_, Soon());
    EXPECT_TRUE(sales.ok()) << sales.status();
    return *std::move(sales);
  }
  // Of a start: how many events were read again.
  std::int64_t Replay(Sales& sales) {
    const auto replayed = EventFeed(*store_, sales).CatchUp();
    EXPECT_TRUE(replayed.ok()) << replayed.status();
    return replayed.value_or(-1);
  }

  const TemporaryDatabase database_;
  const std::unique_ptr<OrderStore> store_ = database_.Open();
};

TEST_F(SalesTest, CountAnOrderUntilItIsCancelled) {
  const auto sales = Load();
  sales->Apply(Event(1, v1::ORDER_STATE_PLACED, 5));
  sales->Apply(Event(2, v1::ORDER_STATE_PLACED, 2));
  EXPECT_THAT(sales->totals().quantity_by_sku, ElementsAre(Pair("tea", 7)));
  sales->Apply(Event(3, v1::ORDER_STATE_CONFIRMED, 5));
  EXPECT_THAT(sales->totals().quantity_by_sku, ElementsAre(Pair("tea", 7)));
  sales->Apply(Event(4, v1::ORDER_STATE_CANCELLED, 2));
  EXPECT_THAT(sales->totals().quantity_by_sku, ElementsAre(Pair("tea", 5)));
  EXPECT_EQ(sales->totals().sequence, 4);
}

TEST_F(SalesTest, CountAnEventOnce) {
  const auto sales = Load();
  sales->Apply(Event(1, v1::ORDER_STATE_PLACED, 5));
  sales->Apply(Event(1, v1::ORDER_STATE_PLACED, 5));
  EXPECT_THAT(sales->totals().quantity_by_sku, ElementsAre(Pair("tea", 5)));
}

TEST_F(SalesTest, BeginWithNothing) {
  EXPECT_THAT(Load()->totals().quantity_by_sku, IsEmpty());
  EXPECT_EQ(Load()->totals().sequence, 0);
}

TEST_F(SalesTest, ReplayNothingAfterACleanShutdown) {
  PlaceIn(*store_, "r1", "tea", 3);
  PlaceIn(*store_, "r2", "milk", 4);
  const auto before = Load();
  EXPECT_EQ(Replay(*before), 2);
  ASSERT_TRUE(before->Save(Soon()).ok());

  const auto after = Load();
  EXPECT_EQ(Replay(*after), 0);
  EXPECT_THAT(after->totals().quantity_by_sku, ElementsAre(Pair("milk", 4), Pair("tea", 3)));
}

TEST_F(SalesTest, ReplayOnlyTheTailAfterAKill) {
  PlaceIn(*store_, "r1", "tea", 3);
  const auto saved = Load();
  EXPECT_EQ(Replay(*saved), 1);
  ASSERT_TRUE(saved->Save(Soon()).ok());
  PlaceIn(*store_, "r2", "tea", 4);
  EXPECT_EQ(Replay(*saved), 1);
  // Killed: not saved again.

  const auto after = Load();
  EXPECT_EQ(Replay(*after), 1);
  EXPECT_THAT(after->totals().quantity_by_sku, ElementsAre(Pair("tea", 7)));
}

TEST_F(SalesTest, OfALateReplicaNeverReplaceLaterOnes) {
  const auto behind = Load();
  PlaceIn(*store_, "r1", "tea", 3);
  const auto ahead = Load();
  Replay(*ahead);
  ASSERT_TRUE(ahead->Save(Soon()).ok());
  ASSERT_TRUE(behind->Save(Soon()).ok());
  EXPECT_THAT(Load()->totals().quantity_by_sku, ElementsAre(Pair("tea", 3)));
}

// Its totals are damaged, and it has very many orders.
class DamagedLog final : public FakeOrderLog {
 public:
  absl::StatusOr<SalesTotals> LoadTotals(Deadline) override {
    return absl::DataLossError("damaged");
  }
  absl::StatusOr<SalesTotals> ComputeTotals(Deadline deadline) override {
    if (deadline != Deadline::max()) return absl::DeadlineExceededError("it takes for ever");
    return SalesTotals{.sequence = 7, .quantity_by_sku = {{"tea", 5}}};
  }
  absl::Status SaveTotals(const SalesTotals& totals, Deadline deadline) override {
    if (deadline <= std::chrono::steady_clock::now()) return absl::DeadlineExceededError("late");
    return FakeOrderLog::SaveTotals(totals, deadline);
  }
};

TEST_F(SalesTest, AreComputedAnewHoweverLongItTakes) {
  DamagedLog log;
  const auto sales = Sales::Load(log, std::chrono::steady_clock::now());
  ASSERT_TRUE(sales.ok()) << sales.status();
  EXPECT_THAT((*sales)->totals().quantity_by_sku, ElementsAre(Pair("tea", 5)));
  EXPECT_EQ(log.saved(), 7);
}

TEST_F(SalesTest, CannotBeLoadedFromAClosedStore) {
  ASSERT_TRUE(store_->Close(Soon()).ok());
  EXPECT_FALSE(Sales::Load(*store_, Soon()).ok());
}

}  // namespace
}  // namespace orders
