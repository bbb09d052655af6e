#include "service/orders/demo/verdict.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace demo {
namespace {

using orders::v1::Order;
using orders::v1::ORDER_STATE_CANCELLED;
using orders::v1::ORDER_STATE_CONFIRMED;
using orders::v1::ORDER_STATE_PLACED;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Order Confirmed(const std::string& id, int apples) {
  Order order;
  order.set_order_id("o-" + id);
  order.set_request_id("r-" + id);
  order.set_state(ORDER_STATE_CONFIRMED);
  order.add_items()->set_sku("apple");
  order.mutable_items(0)->set_quantity(apples);
  return order;
}

// Two orders, two watchers, nothing lost.
Evidence AllWell() {
  Evidence evidence;
  evidence.acknowledged = {Confirmed("1", 2), Confirmed("2", 3)};
  evidence.endings = {"exit code 0", "exit code 0"};
  evidence.stored = evidence.acknowledged;
  evidence.log = {{"o-1", ORDER_STATE_PLACED},
                  {"o-2", ORDER_STATE_PLACED},
                  {"o-1", ORDER_STATE_CONFIRMED},
                  {"o-2", ORDER_STATE_CONFIRMED}};
  evidence.events = 4;
  evidence.watched = {evidence.log, evidence.log};
  inventory::v1::Stock& apples = evidence.stock.emplace_back();
  apples.set_sku("apple");
  apples.set_initial(10);
  apples.set_available(5);
  apples.set_confirmed(5);
  return evidence;
}

// Whether each promise was kept: stored, confirmed, watched, no call failed, ended, stock.
std::vector<bool> Kept(const Evidence& evidence) {
  std::vector<bool> kept;
  for (const Finding& finding : Judge(evidence)) kept.push_back(finding.kept);
  return kept;
}

// What is said of the one promise that was broken.
std::string Proof(const Evidence& evidence) {
  std::string proof;
  for (const Finding& finding : Judge(evidence)) {
    if (!finding.kept) proof += finding.proof;
  }
  return proof;
}

TEST(VerdictTest, EveryPromiseIsKeptWhenNothingWasLost) {
  EXPECT_THAT(Kept(AllWell()), ElementsAre(true, true, true, true, true, true)) << Proof(AllWell());
}

TEST(VerdictTest, FindsAnAcknowledgedOrderThatIsNotStored) {
  Evidence evidence = AllWell();
  evidence.acknowledged.push_back(Confirmed("3", 1));
  EXPECT_THAT(Kept(evidence), ElementsAre(false, true, true, true, true, true));
  EXPECT_EQ(Proof(evidence), "order o-3 is stored 0 times");
}

TEST(VerdictTest, AnOrderThatIsStoredTwiceIsFound) {
  Evidence evidence = AllWell();
  Order twin = Confirmed("1", 2);
  twin.set_order_id("o-1b");
  evidence.stored.push_back(twin);
  EXPECT_THAT(Kept(evidence), ElementsAre(false, false, true, true, true, false));
  EXPECT_THAT(Proof(evidence), HasSubstr("order o-1 is stored 2 times"));
}

TEST(VerdictTest, FindsAnOrderStoredUnderAnotherId) {
  Evidence evidence = AllWell();
  evidence.acknowledged[0].set_order_id("o-9");
  EXPECT_THAT(Kept(evidence), ElementsAre(false, true, true, true, true, true));
  EXPECT_EQ(Proof(evidence), "order o-9 is stored as o-1");
}

TEST(VerdictTest, FindsAnOrderThatNobodyWasTold) {
  Evidence evidence = AllWell();
  evidence.acknowledged.pop_back();
  EXPECT_THAT(Kept(evidence), ElementsAre(false, true, true, true, true, true));
  EXPECT_EQ(Proof(evidence), "2 are stored, 1 were acknowledged");
}

TEST(VerdictTest, AnEventThatAWatcherMissedIsFound) {
  Evidence evidence = AllWell();
  evidence.watched[1].erase(evidence.watched[1].begin() + 1);
  EXPECT_THAT(Kept(evidence), ElementsAre(true, true, false, true, true, true));
  EXPECT_EQ(Proof(evidence),
            "watcher 2 saw ORDER_STATE_CONFIRMED of order o-1 instead of ORDER_STATE_PLACED of "
            "order o-2 as event 2");
}

TEST(VerdictTest, FindsAnEventThatAWatcherSawTwice) {
  Evidence evidence = AllWell();
  evidence.watched[0].push_back(evidence.watched[0].back());
  EXPECT_THAT(Kept(evidence), ElementsAre(true, true, false, true, true, true));
  EXPECT_THAT(Proof(evidence), HasSubstr("instead of nothing as event 5"));
}

TEST(VerdictTest, EventsInAnotherOrderAreFound) {
  Evidence evidence = AllWell();
  std::swap(evidence.watched[0][2], evidence.watched[0][3]);
  EXPECT_THAT(Kept(evidence), ElementsAre(true, true, false, true, true, true));
}

TEST(VerdictTest, FindsAnEventThatTheLogLacks) {
  Evidence evidence = AllWell();
  evidence.log.pop_back();
  for (std::vector<Told>& seen : evidence.watched) seen.pop_back();
  EXPECT_THAT(Kept(evidence), ElementsAre(true, false, true, true, true, true));
  EXPECT_EQ(Proof(evidence), "order o-2, now ORDER_STATE_CONFIRMED, has 1 events");
}

TEST(VerdictTest, FindsAnEventBehindThoseThatWereRead) {
  Evidence evidence = AllWell();
  evidence.events = 5;
  EXPECT_THAT(Kept(evidence), ElementsAre(true, false, true, true, true, true));
  EXPECT_EQ(Proof(evidence), "the log has 5 events, 4 were read");
}

TEST(VerdictTest, AnOrderThatIsNeverConfirmedIsFound) {
  Evidence evidence = AllWell();
  evidence.stored[1].set_state(ORDER_STATE_PLACED);
  evidence.log.pop_back();
  for (std::vector<Told>& seen : evidence.watched) seen.pop_back();
  evidence.stock[0].set_confirmed(2);
  evidence.stock[0].set_reserved(3);
  EXPECT_THAT(Kept(evidence), ElementsAre(true, false, true, true, true, false));
  EXPECT_EQ(Proof(evidence),
            "order o-2, now ORDER_STATE_PLACED, has 1 events"
            "apple: 3 reserved and 2 confirmed, but 5 ordered");
}

TEST(VerdictTest, FindsAnOrderThatWasCancelled) {
  Evidence evidence = AllWell();
  evidence.stored[1].set_state(ORDER_STATE_CANCELLED);
  evidence.log.back().state = ORDER_STATE_CANCELLED;
  evidence.watched = {evidence.log, evidence.log};
  evidence.stock[0].set_confirmed(2);
  evidence.stock[0].set_available(8);
  EXPECT_THAT(Kept(evidence), ElementsAre(true, false, true, true, true, true));
  EXPECT_EQ(Proof(evidence), "order o-2, now ORDER_STATE_CANCELLED, has 2 events");
}

TEST(VerdictTest, FindsAFailedCallThatMayHaveStored) {
  Evidence evidence = AllWell();
  evidence.acknowledged.pop_back();
  evidence.failures = {"UNAVAILABLE: no server"};
  EXPECT_THAT(Kept(evidence), ElementsAre(true, true, true, false, true, true));
  EXPECT_EQ(Proof(evidence), "1 failed, the first with UNAVAILABLE: no server");
}

TEST(VerdictTest, FindsTheFirstServerThatDidNotEndWell) {
  Evidence evidence = AllWell();
  evidence.endings = {"exit code 0", "exit code 3", "exit code 5", "exit code 0"};
  EXPECT_THAT(Kept(evidence), ElementsAre(true, true, true, true, false, true));
  EXPECT_EQ(Proof(evidence), "exit code 3");
}

TEST(VerdictTest, StockThatDoesNotAddUpIsFound) {
  Evidence evidence = AllWell();
  evidence.stock[0].set_available(4);
  EXPECT_THAT(Kept(evidence), ElementsAre(true, true, true, true, true, false));
  EXPECT_EQ(Proof(evidence), "apple: 10 initial, 4 available, 0 reserved, 5 confirmed");
}

TEST(VerdictTest, FindsStockSoldWithoutAnOrder) {
  Evidence evidence = AllWell();
  evidence.stock[0].set_available(4);
  evidence.stock[0].set_reserved(1);
  EXPECT_THAT(Kept(evidence), ElementsAre(true, true, true, true, true, false));
  EXPECT_EQ(Proof(evidence), "apple: 1 reserved and 5 confirmed, but 5 ordered");
}

TEST(VerdictTest, FindsAnOrderOfUnknownStock) {
  Evidence evidence = AllWell();
  evidence.stock.clear();
  EXPECT_THAT(Kept(evidence), ElementsAre(true, true, true, true, true, false));
  EXPECT_EQ(Proof(evidence), "apple was ordered but is not in stock");
}

}  // namespace
}  // namespace demo
