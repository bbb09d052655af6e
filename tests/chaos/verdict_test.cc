#include "tests/chaos/verdict.h"

#include <cstdint>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace chaos {
namespace {

using orders::v1::ORDER_STATE_CANCELLED;
using orders::v1::ORDER_STATE_CONFIRMED;
using orders::v1::ORDER_STATE_PLACED;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Two orders of two teas each; the second was cancelled by its caller.
class VerdictTest : public ::testing::Test {
 protected:
  VerdictTest() {
    Add("one", ORDER_STATE_CONFIRMED);
    Add("two", ORDER_STATE_CANCELLED);
    told_.cancelled = {"two"};
    stored_.log = {{"one", ORDER_STATE_PLACED},
                   {"two", ORDER_STATE_PLACED},
                   {"one", ORDER_STATE_CONFIRMED},
                   {"two", ORDER_STATE_CANCELLED}};
    told_.watched["watcher"] = stored_.log;
    told_.followed = {"two"};
    told_.tracked["tracker"] = {{"two", ORDER_STATE_PLACED}, {"two", ORDER_STATE_CANCELLED}};
    stored_.stock_is_known = true;
    inventory::v1::Stock& stock = stored_.stock.emplace_back();
    stock.set_sku("tea");
    stock.set_initial(10);
    stock.set_available(8);
    stock.set_confirmed(2);
    orders::v1::Sales& sales = *stored_.sales.add_sales();
    sales.set_sku("tea");
    sales.set_quantity(2);
  }

  void Add(const std::string& id, orders::v1::OrderState state) {
    orders::v1::Order& order = stored_.orders.emplace_back();
    order.set_order_id(id);
    order.set_request_id("request " + id);
    order.set_state(state);
    orders::v1::OrderItem& item = *order.add_items();
    item.set_sku("tea");
    item.set_quantity(2);
    told_.acknowledged.push_back({"request " + id, id});
  }

  void ExpectOne(const std::string& words) {
    EXPECT_THAT(Judge(told_, stored_), ElementsAre(HasSubstr(words)));
  }

  Journal told_;
  Stored stored_;
};

TEST_F(VerdictTest, FindsNothingWhereAllIsWell) { EXPECT_THAT(Judge(told_, stored_), IsEmpty()); }

TEST_F(VerdictTest, FindsAnOrderThatIsLost) {
  told_.acknowledged.push_back({"request three", "three"});
  ExpectOne("acknowledged and is not stored");
}

TEST_F(VerdictTest, FindsAnOrderThatNobodyWasToldOf) {
  told_.acknowledged.pop_back();
  ExpectOne("nobody was told of order two");
}

TEST_F(VerdictTest, FindsAnOrderCancelledForWantOfStock) {
  told_.cancelled.clear();
  ExpectOne("nobody has asked");
}

TEST_F(VerdictTest, FindsACancellationThatIsLost) {
  told_.cancelled.insert("one");
  ExpectOne("and is not");
}

TEST_F(VerdictTest, FindsALifeThatIsToldTwice) {
  stored_.log.insert(stored_.log.begin() + 1, stored_.log.front());
  told_.watched["watcher"] = stored_.log;
  ExpectOne("order one is");
}

TEST_F(VerdictTest, FindsAWatcherThatMissedAnEvent) {
  told_.watched["watcher"].pop_back();
  ExpectOne("watcher was told 3 events of 4");
}

TEST_F(VerdictTest, FindsATrackerThatWasToldBackwards) {
  told_.tracked["tracker"].push_back({"two", ORDER_STATE_CONFIRMED});
  told_.tracked["tracker"].push_back({"two", ORDER_STATE_CANCELLED});
  ExpectOne("2 after 3");
}

TEST_F(VerdictTest, FindsATrackerNotToldTheEnd) {
  told_.tracked["tracker"].pop_back();
  ExpectOne("not told of the end of two");
}

TEST_F(VerdictTest, FindsATrackerThatWasToldNothing) {
  told_.tracked["tracker"].clear();
  ExpectOne("not told of the end of two");
}

TEST_F(VerdictTest, FindsThatTheStockIsUnknown) {
  stored_.stock_is_known = false;
  stored_.stock.clear();
  ExpectOne("could not be read");
}

TEST_F(VerdictTest, FindsStockThatIsSoldTwice) {
  stored_.stock.front().set_confirmed(4);
  stored_.stock.front().set_available(6);
  ExpectOne("the orders have bought 2");
}

TEST_F(VerdictTest, FindsSalesThatContradictTheOrders) {
  stored_.sales.mutable_sales(0)->set_quantity(4);
  ExpectOne("sales of tea");
}

}  // namespace
}  // namespace chaos
