#include "tests/rolling/invariants.h"

#include <cstdint>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rolling {
namespace {

using orders::v1::ORDER_STATE_CONFIRMED;
using orders::v1::ORDER_STATE_PLACED;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

orders::v1::Order Order(const std::string& order_id, const std::string& request_id) {
  orders::v1::Order order;
  order.set_order_id(order_id);
  order.set_request_id(request_id);
  order.set_state(ORDER_STATE_CONFIRMED);
  orders::v1::OrderItem& item = *order.add_items();
  item.set_sku("fig");
  item.set_quantity(2);
  return order;
}

inventory::v1::Stock Figs(std::int64_t available, std::int64_t reserved, std::int64_t confirmed) {
  inventory::v1::Stock stock;
  stock.set_sku("fig");
  stock.set_initial(10);
  stock.set_available(available);
  stock.set_reserved(reserved);
  stock.set_confirmed(confirmed);
  return stock;
}

const Event kPlaced{"o1", ORDER_STATE_PLACED};
const Event kConfirmed{"o1", ORDER_STATE_CONFIRMED};

TEST(CheckOrdersTest, FindsNothingWhenEveryAcknowledgedOrderIsStored) {
  EXPECT_THAT(CheckOrders({Order("o1", "r1"), Order("o2", "r2")}, {{"r1", "o1"}, {"r2", ""}}),
              IsEmpty());
}

TEST(CheckOrdersTest, FindsAnAcknowledgedOrderThatIsNotStored) {
  EXPECT_THAT(CheckOrders({}, {{"r1", "o1"}}), ElementsAre(HasSubstr("r1")));
}

TEST(CheckOrdersTest, FindsAnOrderAnsweredUnderAnotherId) {
  EXPECT_THAT(CheckOrders({Order("o1", "r1")}, {{"r1", "o2"}}), ElementsAre(HasSubstr("o2")));
}

TEST(CheckOrdersTest, FindsARequestThatMadeTwoOrders) {
  EXPECT_THAT(CheckOrders({Order("o1", "r1"), Order("o2", "r1")}, {}),
              ElementsAre(HasSubstr("r1")));
}

TEST(CheckOrdersTest, FindsAnOrderThatIsStoredTwice) {
  EXPECT_THAT(CheckOrders({Order("o1", "r1"), Order("o1", "r2")}, {}),
              ElementsAre(HasSubstr("o1")));
}

TEST(CheckLogTest, FindsNothingWhenEveryOrderIsConfirmed) {
  EXPECT_THAT(CheckLog({kPlaced, kConfirmed}, {Order("o1", "r1")}), IsEmpty());
}

TEST(CheckLogTest, FindsAnOrderConfirmedTwiceOrNever) {
  EXPECT_THAT(CheckLog({kPlaced, kConfirmed, kConfirmed}, {Order("o1", "r1")}),
              ElementsAre(HasSubstr("o1")));
  EXPECT_THAT(CheckLog({kPlaced}, {Order("o1", "r1")}), ElementsAre(HasSubstr("o1")));
}

TEST(CheckLogTest, FindsAnEventWithoutAnOrder) {
  EXPECT_THAT(CheckLog({kPlaced, kConfirmed}, {}), ElementsAre(HasSubstr("o1")));
}

TEST(CheckWatchTest, FindsNothingWhenTheWholeLogWasTold) {
  EXPECT_THAT(CheckWatch("ann", {kPlaced, kConfirmed}, {kPlaced, kConfirmed}), IsEmpty());
}

TEST(CheckWatchTest, FindsAMissingDoubleOrMisplacedEvent) {
  const std::vector<Event> log = {kPlaced, kConfirmed};
  EXPECT_THAT(CheckWatch("ann", {kPlaced}, log), ElementsAre(HasSubstr("event 2: nothing")));
  EXPECT_THAT(CheckWatch("ann", {kConfirmed}, log), ElementsAre(HasSubstr("event 1")));
  EXPECT_THAT(CheckWatch("ann", {kPlaced, kPlaced, kConfirmed}, log),
              ElementsAre(HasSubstr("event 2")));
  EXPECT_THAT(CheckWatch("ann", {kConfirmed, kPlaced}, log), ElementsAre(HasSubstr("event 1")));
}

TEST(CompareTest, CountsWhatIsMissingOrRepeated) {
  const std::vector<Event> log = {kPlaced, kConfirmed};
  EXPECT_EQ(Compare({kConfirmed, kPlaced}, log), Differences());
  EXPECT_EQ(Compare({kPlaced}, log), (Differences{.missing = 1}));
  EXPECT_EQ(Compare({kPlaced, kPlaced, kPlaced}, log), (Differences{.missing = 1, .repeated = 2}));
}

TEST(CheckTrackTest, FindsNothingWhenChangesAreToldAsOne) {
  EXPECT_THAT(CheckTrack("ann", {"o1"}, {kConfirmed}), IsEmpty());
  EXPECT_THAT(CheckTrack("ann", {"o1"}, {kPlaced, kConfirmed}), IsEmpty());
}

TEST(CheckTrackTest, FindsAnOrderThatWasNotAllTold) {
  EXPECT_THAT(CheckTrack("ann", {"o1"}, {}), ElementsAre(HasSubstr("never")));
  EXPECT_THAT(CheckTrack("ann", {"o1"}, {kPlaced}), ElementsAre(HasSubstr("never")));
}

TEST(CheckTrackTest, FindsAChangeToldTwiceOrBackwards) {
  EXPECT_THAT(CheckTrack("ann", {"o1"}, {kConfirmed, kConfirmed}), ElementsAre(HasSubstr("after")));
  EXPECT_THAT(CheckTrack("ann", {"o1"}, {kConfirmed, kPlaced, kConfirmed}),
              ElementsAre(HasSubstr("after")));
}

TEST(CheckStockTest, FindsNothingWhenTheSumHolds) {
  EXPECT_THAT(CheckStock({Figs(7, 1, 2)}, {Order("o1", "r1")}), IsEmpty());
}

TEST(CheckStockTest, FindsStockThatIsLost) {
  EXPECT_THAT(CheckStock({Figs(7, 0, 2)}, {Order("o1", "r1")}), ElementsAre(HasSubstr("initial")));
}

TEST(CheckStockTest, FindsStockThatIsMissing) {
  EXPECT_THAT(CheckStock({}, {Order("o1", "r1")}), ElementsAre(HasSubstr("not in stock")));
}

TEST(CheckStockTest, FindsStockThatIsSoldToNobody) {
  EXPECT_THAT(CheckStock({Figs(8, 0, 2)}, {}), ElementsAre(HasSubstr("bought 0")));
}

}  // namespace
}  // namespace rolling
