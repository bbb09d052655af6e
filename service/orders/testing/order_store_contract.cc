#include "service/orders/testing/order_store_contract.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/util/message_differencer.h"
#include "gtest/gtest.h"
#include "orders/v1/orders.pb.h"
#include "tests/common/eventually.h"

namespace orders {

using google::protobuf::util::MessageDifferencer;
using orders::v1::Order;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;
using testkit::Soon;

std::unique_ptr<OrderStore> OrderStoreContract::Open() {
  absl::StatusOr<std::unique_ptr<OrderStore>> store = database_->Open();
  EXPECT_TRUE(store.ok()) << store.status();
  return store.ok() ? *std::move(store) : nullptr;
}

namespace {

MATCHER_P(EqualsOrder, order, order.ShortDebugString()) {
  return MessageDifferencer::Equals(arg, order);
}

Order MakeOrder(const std::string& order_id, const std::string& request_id) {
  Order order;
  order.set_order_id(order_id);
  order.set_request_id(request_id);
  order.set_customer("ada");
  for (const char* sku : {"apple", "pear"}) {
    orders::v1::OrderItem& item = *order.add_items();
    item.set_sku(sku);
    item.set_quantity(2);
  }
  order.mutable_create_time()->set_seconds(1'700'000'000);
  return order;
}

Order InState(Order order, orders::v1::OrderState state) {
  order.set_state(state);
  return order;
}

// The order as Place() answers it.
Order Placed(const Order& order) { return InState(order, orders::v1::ORDER_STATE_PLACED); }

constexpr std::chrono::milliseconds kLease = OrderStore::kLongestLease;
constexpr std::chrono::milliseconds kNoLease(0);

absl::StatusOr<OrderStore::Placed> TryPlace(OrderStore& store, const Order& order) {
  return store.Place({order, "reservation of " + order.order_id()}, Soon());
}

// Places an order that must be new.
void Place(OrderStore& store, const Order& order) {
  const absl::StatusOr<OrderStore::Placed> placed = TryPlace(store, order);
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_TRUE(placed->created);
  EXPECT_THAT(placed->order, EqualsOrder(Placed(order)));
}

// Repeats the call as long as the store says that nothing was stored.
absl::StatusOr<OrderStore::Placed> PlaceInTheEnd(OrderStore& store, const Order& order) {
  for (const OrderStore::Deadline end = Soon();;) {
    absl::StatusOr<OrderStore::Placed> placed = TryPlace(store, order);
    const bool stored_nothing =
        absl::IsUnavailable(placed.status()) || absl::IsResourceExhausted(placed.status());
    if (!stored_nothing || std::chrono::steady_clock::now() >= end) return placed;
  }
}

std::vector<OrderEvent> AllEvents(OrderStore& store) {
  const absl::StatusOr<std::vector<OrderEvent>> events = store.EventsAfter(0, 1'000'000, Soon());
  EXPECT_TRUE(events.ok()) << events.status();
  return events.ok() ? *events : std::vector<OrderEvent>();
}

std::vector<OutboxItem> WholeOutbox(OrderStore& store) {
  const absl::StatusOr<std::vector<OutboxItem>> items = store.Claim(1'000'000, kNoLease, Soon());
  EXPECT_TRUE(items.ok()) << items.status();
  return items.ok() ? *items : std::vector<OutboxItem>();
}

// "1: order-1 PLACED"
std::vector<std::string> ToStrings(const std::vector<OrderEvent>& events) {
  std::vector<std::string> lines;
  for (const OrderEvent& event : events) {
    const std::string state = orders::v1::OrderState_Name(event.order.state());
    lines.push_back(absl::StrCat(event.sequence, ": ", event.order.order_id(), " ",
                                 state.substr(std::string("ORDER_STATE_").size())));
  }
  return lines;
}

std::vector<std::string> OrderIds(const std::vector<Order>& orders) {
  std::vector<std::string> ids;
  for (const Order& order : orders) ids.push_back(order.order_id());
  return ids;
}

TEST_P(OrderStoreContract, StoresAnOrderWithEventAndOutboxItem) {
  const auto store = Open();
  const Order order = MakeOrder("order-1", "request-1");
  Place(*store, order);

  EXPECT_THAT(**store->Find("order-1", Soon()), EqualsOrder(Placed(order)));
  EXPECT_THAT(**store->FindByRequestId("request-1", Soon()), EqualsOrder(Placed(order)));
  const std::vector<OrderEvent> events = AllEvents(*store);
  ASSERT_THAT(ToStrings(events), ElementsAre("1: order-1 PLACED"));
  EXPECT_THAT(events[0].order, EqualsOrder(Placed(order)));
  EXPECT_EQ(*store->LastSequence(Soon()), 1);
  const std::vector<OutboxItem> outbox = WholeOutbox(*store);
  ASSERT_EQ(outbox.size(), 1u);
  EXPECT_EQ(outbox[0].order_id, "order-1");
  EXPECT_EQ(outbox[0].reservation_id, "reservation of order-1");
}

TEST_P(OrderStoreContract, HasNothingWhenItIsNew) {
  const auto store = Open();
  EXPECT_EQ(*store->Find("order-1", Soon()), std::nullopt);
  EXPECT_EQ(*store->FindByRequestId("request-1", Soon()), std::nullopt);
  EXPECT_THAT(store->List(0, 10, Soon())->orders, IsEmpty());
  EXPECT_EQ(store->List(0, 10, Soon())->next, 0);
  EXPECT_THAT(AllEvents(*store), IsEmpty());
  EXPECT_EQ(*store->LastSequence(Soon()), 0);
  EXPECT_THAT(WholeOutbox(*store), IsEmpty());
  EXPECT_EQ(store->LoadTotals(Soon())->sequence, 0);
  EXPECT_THAT(store->LoadTotals(Soon())->quantity_by_sku, IsEmpty());
}

TEST_P(OrderStoreContract, ARepeatedRequestGetsTheFirstOrder) {
  const auto store = Open();
  const Order first = MakeOrder("order-1", "request-1");
  Place(*store, first);
  Order again = MakeOrder("order-2", "request-1");
  again.mutable_items()->SwapElements(0, 1);
  again.mutable_create_time()->set_seconds(1'800'000'000);

  const absl::StatusOr<OrderStore::Placed> placed = TryPlace(*store, again);
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_FALSE(placed->created);
  EXPECT_THAT(placed->order, EqualsOrder(Placed(first)));
  EXPECT_EQ(*store->Find("order-2", Soon()), std::nullopt);
  EXPECT_EQ(*store->LastSequence(Soon()), 1);
  EXPECT_EQ(WholeOutbox(*store).size(), 1u);
}

TEST_P(OrderStoreContract, ARepeatedRequestGetsTheOrdersPresentState) {
  const auto store = Open();
  const Order order = MakeOrder("order-1", "request-1");
  Place(*store, order);
  ASSERT_TRUE(
      store->Settle({{WholeOutbox(*store)[0], orders::v1::ORDER_STATE_CONFIRMED}}, Soon()).ok());
  EXPECT_THAT(TryPlace(*store, order)->order,
              EqualsOrder(InState(order, orders::v1::ORDER_STATE_CONFIRMED)));
}

TEST_P(OrderStoreContract, RefusesARequestIdOfAnotherOrder) {
  const auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  Order other_customer = MakeOrder("order-2", "request-1");
  other_customer.set_customer("grace");
  Order other_quantity = MakeOrder("order-2", "request-1");
  other_quantity.mutable_items(1)->set_quantity(3);
  Order fewer_items = MakeOrder("order-2", "request-1");
  fewer_items.mutable_items()->RemoveLast();

  for (const Order& other : {other_customer, other_quantity, fewer_items}) {
    EXPECT_TRUE(absl::IsAlreadyExists(TryPlace(*store, other).status()));
  }
  EXPECT_EQ(*store->Find("order-2", Soon()), std::nullopt);
  EXPECT_EQ(*store->LastSequence(Soon()), 1);
  EXPECT_EQ(WholeOutbox(*store).size(), 1u);
}

TEST_P(OrderStoreContract, ListsOrdersOldestFirstByPage) {
  const auto store = Open();
  for (const char* id : {"c", "a", "b", "e", "d"}) Place(*store, MakeOrder(id, id));

  const absl::StatusOr<OrderStore::Page> first = store->List(0, 2, Soon());
  EXPECT_THAT(OrderIds(first->orders), ElementsAre("c", "a"));
  const absl::StatusOr<OrderStore::Page> second = store->List(first->next, 2, Soon());
  EXPECT_THAT(OrderIds(second->orders), ElementsAre("b", "e"));
  const absl::StatusOr<OrderStore::Page> last = store->List(second->next, 2, Soon());
  EXPECT_THAT(OrderIds(last->orders), ElementsAre("d"));
  EXPECT_EQ(last->next, 0);
  EXPECT_EQ(store->List(second->next, 1, Soon())->next, 0) << "a full last page is the last";
}

TEST_P(OrderStoreContract, ReturnsEventsAfterASequenceWithinALimit) {
  const auto store = Open();
  for (const char* id : {"a", "b", "c", "d"}) Place(*store, MakeOrder(id, id));
  EXPECT_THAT(ToStrings(*store->EventsAfter(1, 2, Soon())),
              ElementsAre("2: b PLACED", "3: c PLACED"));
  EXPECT_THAT(ToStrings(*store->EventsAfter(3, 2, Soon())), ElementsAre("4: d PLACED"));
  EXPECT_THAT(*store->EventsAfter(4, 2, Soon()), IsEmpty());
}

TEST_P(OrderStoreContract, SettlesAnItemOnce) {
  const auto store = Open();
  const Order confirmed = MakeOrder("order-1", "request-1");
  const Order cancelled = MakeOrder("order-2", "request-2");
  Place(*store, confirmed);
  Place(*store, cancelled);
  const std::vector<OutboxItem> items = WholeOutbox(*store);
  ASSERT_EQ(items.size(), 2u);

  ASSERT_TRUE(store->Settle({{items[0], orders::v1::ORDER_STATE_CONFIRMED}}, Soon()).ok());
  ASSERT_TRUE(store->Settle({{items[1], orders::v1::ORDER_STATE_CANCELLED}}, Soon()).ok());
  EXPECT_TRUE(store->Settle({{items[0], orders::v1::ORDER_STATE_CANCELLED}}, Soon()).ok());

  EXPECT_THAT(WholeOutbox(*store), IsEmpty());
  EXPECT_THAT(**store->Find("order-1", Soon()),
              EqualsOrder(InState(confirmed, orders::v1::ORDER_STATE_CONFIRMED)));
  EXPECT_THAT(store->List(0, 1, Soon())->orders,
              ElementsAre(EqualsOrder(InState(confirmed, orders::v1::ORDER_STATE_CONFIRMED))));
  EXPECT_THAT(ToStrings(AllEvents(*store)),
              ElementsAre("1: order-1 PLACED", "2: order-2 PLACED", "3: order-1 CONFIRMED",
                          "4: order-2 CANCELLED"));
}

TEST_P(OrderStoreContract, TellsHowManyItemsItHasSettled) {
  const auto store = Open();
  for (const char* id : {"a", "b", "c"}) Place(*store, MakeOrder(id, id));
  const auto items = WholeOutbox(*store);
  ASSERT_EQ(items.size(), 3u);
  ASSERT_TRUE(store->Cancel("b", Soon()).ok());
  std::vector<Settlement> page;
  for (const OutboxItem& item : items) page.push_back({item, orders::v1::ORDER_STATE_CONFIRMED});
  EXPECT_EQ(store->Settle(page, Soon())->removed, 2);
  EXPECT_EQ(store->Settle(page, Soon())->removed, 0);
  const auto release = WholeOutbox(*store);
  ASSERT_EQ(release.size(), 1u);
  EXPECT_EQ(store->Settle({{release[0], std::nullopt}}, Soon())->removed, 1);
  EXPECT_EQ(store->Settle({}, Soon())->removed, 0);
}

TEST_P(OrderStoreContract, CountsEachCommit) {
  const auto store = Open();
  std::int64_t commits = store->Commits();
  const auto expect_one_more = [&](const char* what, const absl::Status& status) {
    EXPECT_TRUE(status.ok()) << what << ": " << status;
    EXPECT_EQ(store->Commits(), ++commits) << what;
  };
  expect_one_more("Place", TryPlace(*store, MakeOrder("a", "a")).status());
  const auto items = store->Claim(1, kNoLease, Soon());
  expect_one_more("Claim", items.status());
  ASSERT_EQ(items->size(), 1u);
  expect_one_more("GiveBack", store->GiveBack(*items, Soon()));
  expect_one_more("Postpone", store->Postpone(*items, kNoLease, Soon()));
  expect_one_more("Settle", store->Settle({{items->front(), std::nullopt}}, Soon()).status());
  expect_one_more("SaveTotals", store->SaveTotals({.sequence = 1, .quantity_by_sku = {}}, Soon()));
}

TEST_P(OrderStoreContract, NeverReusesTheIdOfAnOutboxItem) {
  auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  const OutboxItem gone = WholeOutbox(*store)[0];
  ASSERT_TRUE(store->Settle({{gone, orders::v1::ORDER_STATE_CONFIRMED}}, Soon()).ok());
  store.reset();
  store = Open();
  Place(*store, MakeOrder("order-2", "request-2"));
  EXPECT_GT(WholeOutbox(*store)[0].id, gone.id);
}

TEST_P(OrderStoreContract, KeepsTheTotalsThatReachFurthest) {
  const auto store = Open();
  ASSERT_TRUE(
      store->SaveTotals({.sequence = 5, .quantity_by_sku = {{"apple", 3}, {"fig", 1}}}, Soon())
          .ok());
  ASSERT_TRUE(store->SaveTotals({.sequence = 7, .quantity_by_sku = {{"apple", 4}}}, Soon()).ok());
  ASSERT_TRUE(store->SaveTotals({.sequence = 6, .quantity_by_sku = {{"pear", 9}}}, Soon()).ok());
  const absl::StatusOr<SalesTotals> totals = Open()->LoadTotals(Soon());
  ASSERT_TRUE(totals.ok()) << totals.status();
  EXPECT_EQ(totals->sequence, 7);
  EXPECT_THAT(totals->quantity_by_sku, UnorderedElementsAre(Pair("apple", 4)));
}

TEST_P(OrderStoreContract, KeepsTotalsOfNothing) {
  const auto store = Open();
  ASSERT_TRUE(store->SaveTotals({.sequence = 2, .quantity_by_sku = {}}, Soon()).ok());
  EXPECT_EQ(store->LoadTotals(Soon())->sequence, 2);
  EXPECT_THAT(store->LoadTotals(Soon())->quantity_by_sku, IsEmpty());
}

TEST_P(OrderStoreContract, GoesOnWhereItWasWhenOpenedAgain) {
  const Order order = MakeOrder("order-1", "request-1");
  auto store = Open();
  Place(*store, order);
  ASSERT_TRUE(store->Close(Soon()).ok());
  store.reset();

  store = Open();
  EXPECT_FALSE(TryPlace(*store, MakeOrder("order-2", "request-1"))->created);
  EXPECT_EQ(WholeOutbox(*store).size(), 1u);
  Place(*store, MakeOrder("order-3", "request-3"));
  EXPECT_THAT(ToStrings(AllEvents(*store)), ElementsAre("1: order-1 PLACED", "2: order-3 PLACED"));
}

TEST_P(OrderStoreContract, SeesWhatAnotherProcessWrites) {
  const auto one = Open();
  const auto other = Open();
  const Order order = MakeOrder("order-1", "request-1");
  Place(*one, order);
  EXPECT_FALSE(TryPlace(*other, MakeOrder("order-2", "request-1"))->created);
  EXPECT_THAT(**other->Find("order-1", Soon()), EqualsOrder(Placed(order)));
  const OutboxItem item = WholeOutbox(*other)[0];
  ASSERT_TRUE(other->Settle({{item, orders::v1::ORDER_STATE_CONFIRMED}}, Soon()).ok());
  ASSERT_TRUE(one->Settle({{item, orders::v1::ORDER_STATE_CONFIRMED}}, Soon()).ok());
  EXPECT_THAT(ToStrings(AllEvents(*one)), ElementsAre("1: order-1 PLACED", "2: order-1 CONFIRMED"));
}

TEST_P(OrderStoreContract, TwoProcessesCreateEachRequestOnce) {
  constexpr int kRequests = 40;
  const std::unique_ptr<OrderStore> stores[] = {Open(), Open()};
  std::atomic<int> created = 0;
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < kRequests; ++i) {
        const std::string request_id = absl::StrCat("request-", i);
        const auto placed = PlaceInTheEnd(
            *stores[writer % 2], MakeOrder(absl::StrCat("order-", writer, "-", i), request_id));
        ASSERT_TRUE(placed.ok()) << placed.status();
        if (placed->created) ++created;
        EXPECT_EQ(placed->order.request_id(), request_id);
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(created, kRequests);
  EXPECT_EQ(*stores[0]->LastSequence(Soon()), kRequests);
  EXPECT_EQ(stores[1]->List(0, 1000, Soon())->orders.size(), static_cast<std::size_t>(kRequests));
}

TEST_P(OrderStoreContract, ReadersSeeTwoProcessesEventsInOrder) {
  constexpr int kOrdersEach = 20;
  constexpr int kWriters = 4;
  const std::unique_ptr<OrderStore> stores[] = {Open(), Open()};
  const auto reading = Open();
  std::vector<std::thread> writers;
  for (int writer = 0; writer < kWriters; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0; i < kOrdersEach; ++i) {
        const std::string id = absl::StrCat("order-", writer, "-", i);
        const auto placed = PlaceInTheEnd(*stores[writer % 2], MakeOrder(id, id));
        ASSERT_TRUE(placed.ok()) << placed.status();
        EXPECT_TRUE(placed->created);
      }
    });
  }

  std::set<std::string> seen;
  std::int64_t last = 0;
  const OrderStore::Deadline end = Soon();
  while (last < kWriters * kOrdersEach && std::chrono::steady_clock::now() < end) {
    const absl::StatusOr<std::vector<OrderEvent>> events = reading->EventsAfter(last, 7, Soon());
    if (!events.ok()) {
      ADD_FAILURE() << events.status();
      break;
    }
    for (const OrderEvent& event : *events) {
      EXPECT_EQ(event.sequence, ++last);
      EXPECT_TRUE(seen.insert(event.order.order_id()).second) << event.order.order_id();
    }
    if (::testing::Test::HasFailure()) break;
    if (events->empty()) std::this_thread::yield();
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(seen.size(), static_cast<std::size_t>(kWriters * kOrdersEach));
}

TEST_P(OrderStoreContract, RefusesEveryCallAfterItWasClosed) {
  const auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  const OutboxItem item = WholeOutbox(*store)[0];
  ASSERT_TRUE(store->Close(Soon()).ok());
  EXPECT_TRUE(store->Close(Soon()).ok());

  const std::vector<absl::Status> answers = {
      TryPlace(*store, MakeOrder("order-2", "request-2")).status(),
      store->FindByRequestId("request-1", Soon()).status(),
      store->Find("order-1", Soon()).status(),
      store->List(0, 10, Soon()).status(),
      store->EventsAfter(0, 10, Soon()).status(),
      store->LastSequence(Soon()).status(),
      store->AwaitEventsAfter(0, 10, Soon(), {}).status(),
      store->Trim(1, Soon(), {}).status(),
      store->Cancel("order-1", Soon()).status(),
      store->Claim(10, kLease, Soon()).status(),
      store->Postpone({item}, kNoLease, Soon()),
      store->GiveBack({item}, Soon()),
      store->OutboxBacklog(Soon()).status(),
      store->ComputeTotals(Soon()).status(),
      store->Settle({{item, orders::v1::ORDER_STATE_CONFIRMED}}, Soon()).status(),
      store->LoadTotals(Soon()).status(),
      store->SaveTotals({.sequence = 1, .quantity_by_sku = {}}, Soon()),
  };
  for (const absl::Status& answer : answers) {
    EXPECT_TRUE(absl::IsFailedPrecondition(answer)) << answer;
  }
}

TEST_P(OrderStoreContract, ClosingDuringCallsKeepsAcknowledgedOrders) {
  auto store = Open();
  std::vector<std::string> acknowledged[4];
  std::atomic<int> at_work = 0;
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0;; ++i) {
        const std::string id = absl::StrCat("order-", writer, "-", i);
        const auto placed = PlaceInTheEnd(*store, MakeOrder(id, id));
        if (i == 0) ++at_work;
        if (!placed.ok()) {
          EXPECT_TRUE(absl::IsFailedPrecondition(placed.status())) << placed.status();
          return;
        }
        acknowledged[writer].push_back(id);
      }
    });
  }
  while (at_work < 4) std::this_thread::yield();
  EXPECT_TRUE(store->Close(Soon()).ok());
  for (std::thread& writer : writers) writer.join();
  store.reset();

  store = Open();
  std::size_t expected = 0;
  for (const std::vector<std::string>& ids : acknowledged) {
    expected += ids.size();
    for (const std::string& id : ids) EXPECT_TRUE(store->Find(id, Soon())->has_value()) << id;
  }
  EXPECT_EQ(*store->LastSequence(Soon()), static_cast<std::int64_t>(expected));
}

std::vector<std::string> OrderIdsOf(const absl::StatusOr<std::vector<OutboxItem>>& items) {
  if (!items.ok()) return {items.status().ToString()};
  std::vector<std::string> ids;
  for (const OutboxItem& item : *items) ids.push_back(item.order_id);
  return ids;
}

TEST_P(OrderStoreContract, BeginsNothingAfterItsDeadline) {
  const auto store = Open();
  const OrderStore::Deadline past = std::chrono::steady_clock::now() - std::chrono::seconds(1);
  const auto placed = store->Place({MakeOrder("order-1", "request-1"), "reservation-1"}, past);
  EXPECT_TRUE(absl::IsDeadlineExceeded(placed.status())) << placed.status();
  EXPECT_EQ(*store->Find("order-1", Soon()), std::nullopt);
  Place(*store, MakeOrder("order-1", "request-1"));
}

TEST_P(OrderStoreContract, ClaimsAnItemOncePerLease) {
  const auto one = Open();
  const auto other = Open();
  for (const char* id : {"a", "b", "c"}) Place(*one, MakeOrder(id, id));
  EXPECT_THAT(OrderIdsOf(one->Claim(2, kLease, Soon())), ElementsAre("a", "b"));
  EXPECT_THAT(OrderIdsOf(other->Claim(2, kLease, Soon())), ElementsAre("c"));
  EXPECT_THAT(OrderIdsOf(one->Claim(2, kLease, Soon())), IsEmpty());
}

TEST_P(OrderStoreContract, ClaimsAnItemAgainAfterItsLease) {
  const auto one = Open();
  Place(*one, MakeOrder("order-1", "request-1"));
  const auto claimed = one->Claim(10, kNoLease, Soon());
  ASSERT_THAT(OrderIdsOf(claimed), ElementsAre("order-1"));
  EXPECT_EQ(claimed->front().attempts, 1);
  const auto again = Open()->Claim(10, kLease, Soon());
  ASSERT_THAT(OrderIdsOf(again), ElementsAre("order-1"));
  EXPECT_EQ(again->front().attempts, 2);
}

TEST_P(OrderStoreContract, ClaimsAgainWhenTheClockWasSetBack) {
  const auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  ASSERT_THAT(OrderIdsOf(store->Claim(10, kLease, Soon())), ElementsAre("order-1"));
  ASSERT_TRUE(RunSql(GetParam().clock_set_back_sql).ok());
  EXPECT_THAT(OrderIdsOf(store->Claim(10, kLease, Soon())), ElementsAre("order-1"));
  EXPECT_THAT(OrderIdsOf(store->Claim(10, kLease, Soon())), IsEmpty());
}

TEST_P(OrderStoreContract, CountsItemsFromBeforeASetBackAsOld) {
  const auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  ASSERT_TRUE(RunSql(GetParam().clock_set_back_sql).ok());
  EXPECT_GT(store->OutboxBacklog(Soon())->oldest_age, std::chrono::minutes(1));
  EXPECT_GT(store->OutboxBacklog(Soon())->oldest_confirm_age, std::chrono::minutes(1));
}

TEST_P(OrderStoreContract, LeasesForNoLongerThanTheLongestLease) {
  const auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  const auto items = store->Claim(10, 100 * OrderStore::kLongestLease, Soon());
  ASSERT_THAT(OrderIdsOf(items), ElementsAre("order-1"));
  // Longer, and it would count as stored before the clock was set back.
  EXPECT_THAT(OrderIdsOf(store->Claim(10, kLease, Soon())), IsEmpty());
  ASSERT_TRUE(store->Postpone(*items, 100 * OrderStore::kLongestLease, Soon()).ok());
  EXPECT_THAT(OrderIdsOf(store->Claim(10, kLease, Soon())), IsEmpty());
}

TEST_P(OrderStoreContract, GivesConcurrentClaimersDifferentItems) {
  constexpr int kOrders = 60;
  const std::unique_ptr<OrderStore> stores[] = {Open(), Open(), Open()};
  for (int i = 0; i < kOrders; ++i) {
    Place(*stores[0], MakeOrder(absl::StrCat("order-", i), absl::StrCat("request-", i)));
  }
  std::vector<OutboxItem> claimed[3];
  std::vector<std::thread> claimers;
  for (int claimer = 0; claimer < 3; ++claimer) {
    claimers.emplace_back([&, claimer] {
      // More than there are means that one was claimed twice.
      while (claimed[claimer].size() <= kOrders) {
        const auto items = stores[claimer]->Claim(7, kLease, Soon());
        ASSERT_TRUE(items.ok()) << items.status();
        if (items->empty()) return;
        claimed[claimer].insert(claimed[claimer].end(), items->begin(), items->end());
      }
    });
  }
  for (std::thread& claimer : claimers) claimer.join();
  std::multiset<std::string> all;
  for (const auto& items : claimed) {
    for (const OutboxItem& item : items) all.insert(item.order_id);
  }
  EXPECT_THAT(all, SizeIs(kOrders));
  EXPECT_THAT((std::set<std::string>(all.begin(), all.end())), SizeIs(kOrders));
}

TEST_P(OrderStoreContract, ClaimsAPostponedItemWhenDueAgain) {
  const auto store = Open();
  for (const char* id : {"a", "b"}) Place(*store, MakeOrder(id, id));
  const auto items = store->Claim(10, kLease, Soon());
  ASSERT_THAT(OrderIdsOf(items), ElementsAre("a", "b"));
  ASSERT_TRUE(store->Postpone({items->at(1)}, kNoLease, Soon()).ok());
  EXPECT_THAT(OrderIdsOf(store->Claim(10, kLease, Soon())), ElementsAre("b"));
  ASSERT_TRUE(store->Postpone({items->at(1)}, kLease, Soon()).ok());
  EXPECT_THAT(OrderIdsOf(store->Claim(10, kLease, Soon())), IsEmpty());
}

TEST_P(OrderStoreContract, PostponedItemsComeAfterOlderOnes) {
  const auto store = Open();
  for (const char* id : {"a", "b"}) Place(*store, MakeOrder(id, id));
  const auto first = store->Claim(1, kLease, Soon());
  ASSERT_THAT(OrderIdsOf(first), ElementsAre("a"));
  ASSERT_TRUE(store->Postpone(*first, std::chrono::milliseconds(1), Soon()).ok());
  EXPECT_THAT(OrderIdsOf(store->Claim(1, kLease, Soon())), ElementsAre("b"));
}

TEST_P(OrderStoreContract, AnItemGivenBackKeepsItsPlace) {
  const auto store = Open();
  for (const char* id : {"a", "b"}) Place(*store, MakeOrder(id, id));
  const auto first = store->Claim(2, kLease, Soon());
  ASSERT_THAT(OrderIdsOf(first), ElementsAre("a", "b"));
  Place(*store, MakeOrder("c", "c"));
  ASSERT_TRUE(store->GiveBack({first->at(1), first->at(0)}, Soon()).ok());
  const auto again = store->Claim(3, kLease, Soon());
  ASSERT_THAT(OrderIdsOf(again), ElementsAre("a", "b", "c"));
  for (const OutboxItem& item : *again) EXPECT_EQ(item.attempts, 1);
  EXPECT_EQ(again->at(0).due_at, first->at(0).due_at);
}

TEST_P(OrderStoreContract, GivesNothingBackThatWasClaimedAgain) {
  const auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  const auto first = store->Claim(1, kNoLease, Soon());
  ASSERT_THAT(OrderIdsOf(first), ElementsAre("order-1"));
  ASSERT_THAT(OrderIdsOf(store->Claim(1, kLease, Soon())), ElementsAre("order-1"));
  ASSERT_TRUE(store->GiveBack(*first, Soon()).ok());
  EXPECT_THAT(OrderIdsOf(store->Claim(1, kLease, Soon())), IsEmpty());
}

TEST_P(OrderStoreContract, SettlesManyItemsChangingOnlyNamedStates) {
  const auto store = Open();
  for (const char* id : {"a", "b", "c"}) Place(*store, MakeOrder(id, id));
  const auto items = store->Claim(10, kLease, Soon());
  ASSERT_THAT(items->size(), 3u);
  ASSERT_TRUE(store
                  ->Settle({{items->at(0), orders::v1::ORDER_STATE_CONFIRMED},
                            {items->at(1), std::nullopt},
                            {items->at(2), orders::v1::ORDER_STATE_CANCELLED}},
                           Soon())
                  .ok());
  EXPECT_THAT(ToStrings(AllEvents(*store)), ElementsAre("1: a PLACED", "2: b PLACED", "3: c PLACED",
                                                        "4: a CONFIRMED", "5: c CANCELLED"));
  EXPECT_EQ(store->OutboxBacklog(Soon())->depth, 0);
}

TEST_P(OrderStoreContract, TellsHowMuchWaitsInTheOutbox) {
  const auto store = Open();
  EXPECT_EQ(store->OutboxBacklog(Soon())->depth, 0);
  EXPECT_EQ(store->OutboxBacklog(Soon())->oldest_age.count(), 0);
  for (const char* id : {"a", "b"}) Place(*store, MakeOrder(id, id));
  ASSERT_THAT(store->Claim(1, kLease, Soon())->size(), 1u);
  EXPECT_EQ(store->OutboxBacklog(Soon())->depth, 2);
  EXPECT_TRUE(
      testkit::Eventually([&] { return store->OutboxBacklog(Soon())->oldest_age.count() > 0; }));
  EXPECT_GT(store->OutboxBacklog(Soon())->oldest_confirm_age.count(), 0);

  for (const char* id : {"a", "b"}) ASSERT_TRUE(store->Cancel(id, Soon()).ok());
  EXPECT_TRUE(
      testkit::Eventually([&] { return store->OutboxBacklog(Soon())->oldest_age.count() > 0; }));
  EXPECT_EQ(store->OutboxBacklog(Soon())->oldest_confirm_age.count(), 0);
}

TEST_P(OrderStoreContract, CancelsAPlacedOrderAndReplacesItsItem) {
  const auto store = Open();
  const Order order = MakeOrder("order-1", "request-1");
  Place(*store, order);
  const auto confirm = store->Claim(1, kLease, Soon());
  ASSERT_EQ(confirm->size(), 1u);
  EXPECT_EQ(confirm->front().kind, OutboxItem::Kind::kConfirm);

  const Order cancelled = InState(order, orders::v1::ORDER_STATE_CANCELLED);
  EXPECT_THAT(*store->Cancel("order-1", Soon()), EqualsOrder(cancelled));
  EXPECT_THAT(*store->Cancel("order-1", Soon()), EqualsOrder(cancelled));
  EXPECT_THAT(**store->Find("order-1", Soon()), EqualsOrder(cancelled));
  // Whoever has confirmed it meanwhile is too late.
  ASSERT_TRUE(store->Settle({{confirm->front(), orders::v1::ORDER_STATE_CONFIRMED}}, Soon()).ok());
  EXPECT_THAT(ToStrings(AllEvents(*store)),
              ElementsAre("1: order-1 PLACED", "2: order-1 CANCELLED"));

  const auto release = store->Claim(10, kLease, Soon());
  ASSERT_THAT(OrderIdsOf(release), ElementsAre("order-1"));
  EXPECT_EQ(release->front().kind, OutboxItem::Kind::kRelease);
  EXPECT_EQ(release->front().reservation_id, "reservation of order-1");
  ASSERT_TRUE(store->Settle({{release->front(), std::nullopt}}, Soon()).ok());
  EXPECT_EQ(store->OutboxBacklog(Soon())->depth, 0);
  EXPECT_EQ(*store->LastSequence(Soon()), 2);
}

TEST_P(OrderStoreContract, CancelsAConfirmedOrderToo) {
  const auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  ASSERT_TRUE(
      store->Settle({{WholeOutbox(*store)[0], orders::v1::ORDER_STATE_CONFIRMED}}, Soon()).ok());
  EXPECT_EQ(store->Cancel("order-1", Soon())->state(), orders::v1::ORDER_STATE_CANCELLED);
  EXPECT_EQ(WholeOutbox(*store)[0].kind, OutboxItem::Kind::kRelease);
}

TEST_P(OrderStoreContract, CancelsNoOrderThatIsNotThere) {
  EXPECT_TRUE(absl::IsNotFound(Open()->Cancel("order-1", Soon()).status()));
}

TEST_P(OrderStoreContract, WaitsForEventsOfAllProcesses) {
  const auto store = Open();
  const auto other = Open();
  for (OrderStore* writer : {store.get(), other.get()}) {
    const std::int64_t last = *store->LastSequence(Soon());
    std::thread waiting([&] {
      const auto events = store->AwaitEventsAfter(last, 10, Soon(), {});
      ASSERT_TRUE(events.ok()) << events.status();
      ASSERT_THAT(*events, SizeIs(1));
      EXPECT_EQ(events->front().sequence, last + 1);
    });
    const std::string id = absl::StrCat("order-", last);
    Place(*writer, MakeOrder(id, id));
    waiting.join();
  }
  EXPECT_THAT(*store->AwaitEventsAfter(0, 1, Soon(), {}), SizeIs(1)) << "it was there already";
}

TEST_P(OrderStoreContract, AStopDeadlineOrCloseEndsAWait) {
  const auto store = Open();
  std::stop_source stop;
  std::thread stopped([&] {
    const auto events = store->AwaitEventsAfter(0, 10, Soon(), stop.get_token());
    ASSERT_TRUE(events.ok()) << events.status();
    EXPECT_THAT(*events, IsEmpty());
  });
  stop.request_stop();
  stopped.join();

  // A database that is busy may not answer in so short a time.
  EXPECT_TRUE(testkit::Eventually([&] {
    const auto shortly = std::chrono::steady_clock::now() + std::chrono::milliseconds(30);
    const auto none = store->AwaitEventsAfter(0, 10, shortly, {});
    if (!none.ok()) return false;
    EXPECT_THAT(*none, IsEmpty());
    EXPECT_GE(std::chrono::steady_clock::now(), shortly);
    return true;
  }));

  std::thread closed([&] {
    const absl::Status status = store->AwaitEventsAfter(0, 10, Soon(), {}).status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  });
  EXPECT_TRUE(store->Close(Soon()).ok());
  closed.join();
}

TEST_P(OrderStoreContract, TrimsOldEventsAndTellsWhoeverNeedsThem) {
  const auto store = Open();
  for (const char* id : {"a", "b", "c", "d"}) Place(*store, MakeOrder(id, id));
  EXPECT_EQ(*store->Trim(3, Soon(), {}), 0) << "the saved totals do not have them";
  ASSERT_TRUE(store->SaveTotals({.sequence = 4, .quantity_by_sku = {}}, Soon()).ok());
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(*store->Trim(3, Soon(), stop.get_token()), 0);
  EXPECT_EQ(*store->Trim(3, Soon(), {}), 2);
  EXPECT_TRUE(absl::IsOutOfRange(store->EventsAfter(0, 10, Soon()).status()));
  EXPECT_TRUE(absl::IsOutOfRange(store->AwaitEventsAfter(1, 10, Soon(), {}).status()));
  EXPECT_THAT(ToStrings(*store->EventsAfter(2, 10, Soon())),
              ElementsAre("3: c PLACED", "4: d PLACED"));
  // The last one stays, so that the next sequence is known.
  EXPECT_EQ(*store->Trim(100, Soon(), {}), 1);
  EXPECT_EQ(*store->LastSequence(Soon()), 4);
  EXPECT_THAT(*store->EventsAfter(4, 10, Soon()), IsEmpty());
  Place(*store, MakeOrder("e", "e"));
  EXPECT_THAT(ToStrings(*store->EventsAfter(4, 10, Soon())), ElementsAre("5: e PLACED"));
  EXPECT_THAT(store->List(0, 10, Soon())->orders, SizeIs(5)) << "orders are not events";
}

TEST_P(OrderStoreContract, ComputesTheTotalsFromAllOrders) {
  const auto store = Open();
  EXPECT_EQ(store->ComputeTotals(Soon())->sequence, 0);
  for (const char* id : {"a", "b", "c"}) Place(*store, MakeOrder(id, id));
  ASSERT_TRUE(store->Cancel("b", Soon()).ok());
  const absl::StatusOr<SalesTotals> totals = store->ComputeTotals(Soon());
  ASSERT_TRUE(totals.ok()) << totals.status();
  EXPECT_EQ(totals->sequence, 4);
  EXPECT_THAT(totals->quantity_by_sku, ElementsAre(Pair("apple", 4), Pair("pear", 4)));
}

TEST_P(OrderStoreContract, HasAnIdThatStays) {
  auto store = Open();
  const std::string id = store->DatabaseId();
  EXPECT_THAT(id, ::testing::MatchesRegex("[0-9a-f]{32}"));
  EXPECT_EQ(Open()->DatabaseId(), id);
  store.reset();
  EXPECT_EQ(Open()->DatabaseId(), id);
  EXPECT_NE(GetParam().make_database()->Open().value()->DatabaseId(), id);
}

std::string OperationsManual() {
  std::stringstream text;
  text << std::ifstream("docs/operations.md").rdbuf();
  return text.str();
}

TEST_P(OrderStoreContract, RestoredByTheManualHasAnotherId) {
  auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  const std::string id = store->DatabaseId();
  store.reset();
  EXPECT_THAT(OperationsManual(), HasSubstr('"' + GetParam().new_id_sql + '"'));
  ASSERT_TRUE(RunSql(GetParam().new_id_sql).ok());

  store = Open();
  EXPECT_THAT(store->DatabaseId(), ::testing::MatchesRegex("[0-9a-f]{32}"));
  EXPECT_NE(store->DatabaseId(), id);
  Place(*store, MakeOrder("order-2", "request-2"));
  EXPECT_EQ(*store->LastSequence(Soon()), 2);
}

TEST_P(OrderStoreContract, SharesCommitsKeepingEachCallWhole) {
  constexpr int kCallers = 16;
  constexpr int kOrdersEach = 10;
  const auto store = Open();
  std::vector<std::thread> callers;
  for (int caller = 0; caller < kCallers; ++caller) {
    callers.emplace_back([&, caller] {
      for (int i = 0; i < kOrdersEach; ++i) {
        // Every second one has been placed before.
        const std::string id = absl::StrCat("order-", caller, "-", i / 2);
        const auto placed = PlaceInTheEnd(*store, MakeOrder(id, id));
        ASSERT_TRUE(placed.ok()) << placed.status();
        EXPECT_EQ(placed->created, i % 2 == 0);
        EXPECT_TRUE(store->Find(id, Soon())->has_value()) << "acknowledged means stored";
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(*store->LastSequence(Soon()), kCallers * kOrdersEach / 2);
}

}  // namespace
}  // namespace orders
