#include "service/orders/testing/order_store_contract.h"

#include <atomic>
#include <cstdint>
#include <optional>
#include <set>
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

namespace orders {

using google::protobuf::util::MessageDifferencer;
using orders::v1::Order;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

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

// Places an order that must be new.
void Place(OrderStore& store, const Order& order) {
  const absl::StatusOr<OrderStore::Placed> placed =
      store.Place(order, "reservation of " + order.order_id());
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_TRUE(placed->created);
  EXPECT_THAT(placed->order, EqualsOrder(Placed(order)));
}

// Repeats the call as long as the store says that nothing was stored.
absl::StatusOr<OrderStore::Placed> PlaceInTheEnd(OrderStore& store, const Order& order) {
  for (;;) {
    absl::StatusOr<OrderStore::Placed> placed =
        store.Place(order, "reservation of " + order.order_id());
    if (!absl::IsUnavailable(placed.status())) return placed;
  }
}

std::vector<OrderEvent> AllEvents(OrderStore& store) {
  const absl::StatusOr<std::vector<OrderEvent>> events = store.EventsAfter(0, 1'000'000);
  EXPECT_TRUE(events.ok()) << events.status();
  return events.ok() ? *events : std::vector<OrderEvent>();
}

std::vector<OutboxItem> WholeOutbox(OrderStore& store) {
  const absl::StatusOr<std::vector<OutboxItem>> items = store.Outbox(0, 1'000'000);
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

TEST_P(OrderStoreContract, StoresAnOrderWithItsEventAndItsOutboxItem) {
  const auto store = Open();
  const Order order = MakeOrder("order-1", "request-1");
  Place(*store, order);

  EXPECT_THAT(**store->Find("order-1"), EqualsOrder(Placed(order)));
  EXPECT_THAT(**store->FindByRequestId("request-1"), EqualsOrder(Placed(order)));
  const std::vector<OrderEvent> events = AllEvents(*store);
  ASSERT_THAT(ToStrings(events), ElementsAre("1: order-1 PLACED"));
  EXPECT_THAT(events[0].order, EqualsOrder(Placed(order)));
  EXPECT_EQ(*store->LastSequence(), 1);
  const std::vector<OutboxItem> outbox = WholeOutbox(*store);
  ASSERT_EQ(outbox.size(), 1u);
  EXPECT_EQ(outbox[0].order_id, "order-1");
  EXPECT_EQ(outbox[0].reservation_id, "reservation of order-1");
}

TEST_P(OrderStoreContract, HasNothingWhenItIsNew) {
  const auto store = Open();
  EXPECT_EQ(*store->Find("order-1"), std::nullopt);
  EXPECT_EQ(*store->FindByRequestId("request-1"), std::nullopt);
  EXPECT_THAT(store->List(0, 10)->orders, IsEmpty());
  EXPECT_EQ(store->List(0, 10)->next, 0);
  EXPECT_THAT(AllEvents(*store), IsEmpty());
  EXPECT_EQ(*store->LastSequence(), 0);
  EXPECT_THAT(WholeOutbox(*store), IsEmpty());
  EXPECT_EQ(store->LoadTotals()->sequence, 0);
  EXPECT_THAT(store->LoadTotals()->quantity_by_sku, IsEmpty());
}

TEST_P(OrderStoreContract, AnswersARepeatedRequestWithTheFirstOrderAndStoresNothing) {
  const auto store = Open();
  const Order first = MakeOrder("order-1", "request-1");
  Place(*store, first);
  Order again = MakeOrder("order-2", "request-1");
  again.mutable_items()->SwapElements(0, 1);
  again.mutable_create_time()->set_seconds(1'800'000'000);

  const absl::StatusOr<OrderStore::Placed> placed = store->Place(again, "reservation-2");
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_FALSE(placed->created);
  EXPECT_THAT(placed->order, EqualsOrder(Placed(first)));
  EXPECT_EQ(*store->Find("order-2"), std::nullopt);
  EXPECT_EQ(*store->LastSequence(), 1);
  EXPECT_EQ(WholeOutbox(*store).size(), 1u);
}

TEST_P(OrderStoreContract, AnswersARepeatedRequestWithTheOrderAsItIsNow) {
  const auto store = Open();
  const Order order = MakeOrder("order-1", "request-1");
  Place(*store, order);
  ASSERT_TRUE(store->Settle(WholeOutbox(*store)[0], orders::v1::ORDER_STATE_CONFIRMED).ok());
  EXPECT_THAT(store->Place(order, "reservation-1")->order,
              EqualsOrder(InState(order, orders::v1::ORDER_STATE_CONFIRMED)));
}

TEST_P(OrderStoreContract, RefusesARequestIdThatWasUsedForAnotherOrder) {
  const auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  Order other_customer = MakeOrder("order-2", "request-1");
  other_customer.set_customer("grace");
  Order other_quantity = MakeOrder("order-2", "request-1");
  other_quantity.mutable_items(1)->set_quantity(3);
  Order fewer_items = MakeOrder("order-2", "request-1");
  fewer_items.mutable_items()->RemoveLast();

  for (const Order& other : {other_customer, other_quantity, fewer_items}) {
    EXPECT_TRUE(absl::IsAlreadyExists(store->Place(other, "reservation-2").status()));
  }
  EXPECT_EQ(*store->Find("order-2"), std::nullopt);
  EXPECT_EQ(*store->LastSequence(), 1);
  EXPECT_EQ(WholeOutbox(*store).size(), 1u);
}

TEST_P(OrderStoreContract, ListsOrdersOldestFirstAPageAtATime) {
  const auto store = Open();
  for (const char* id : {"c", "a", "b", "e", "d"}) Place(*store, MakeOrder(id, id));

  const absl::StatusOr<OrderStore::Page> first = store->List(0, 2);
  EXPECT_THAT(OrderIds(first->orders), ElementsAre("c", "a"));
  const absl::StatusOr<OrderStore::Page> second = store->List(first->next, 2);
  EXPECT_THAT(OrderIds(second->orders), ElementsAre("b", "e"));
  const absl::StatusOr<OrderStore::Page> last = store->List(second->next, 2);
  EXPECT_THAT(OrderIds(last->orders), ElementsAre("d"));
  EXPECT_EQ(last->next, 0);
  EXPECT_EQ(store->List(second->next, 1)->next, 0) << "a full last page is the last";
}

TEST_P(OrderStoreContract, TellsEventsAfterASequenceUpToTheLimit) {
  const auto store = Open();
  for (const char* id : {"a", "b", "c", "d"}) Place(*store, MakeOrder(id, id));
  EXPECT_THAT(ToStrings(*store->EventsAfter(1, 2)), ElementsAre("2: b PLACED", "3: c PLACED"));
  EXPECT_THAT(ToStrings(*store->EventsAfter(3, 2)), ElementsAre("4: d PLACED"));
  EXPECT_THAT(*store->EventsAfter(4, 2), IsEmpty());
}

TEST_P(OrderStoreContract, SettlesAnItemOnce) {
  const auto store = Open();
  const Order confirmed = MakeOrder("order-1", "request-1");
  const Order cancelled = MakeOrder("order-2", "request-2");
  Place(*store, confirmed);
  Place(*store, cancelled);
  const std::vector<OutboxItem> items = WholeOutbox(*store);
  ASSERT_EQ(items.size(), 2u);

  ASSERT_TRUE(store->Settle(items[0], orders::v1::ORDER_STATE_CONFIRMED).ok());
  ASSERT_TRUE(store->Settle(items[1], orders::v1::ORDER_STATE_CANCELLED).ok());
  EXPECT_TRUE(store->Settle(items[0], orders::v1::ORDER_STATE_CANCELLED).ok());

  EXPECT_THAT(WholeOutbox(*store), IsEmpty());
  EXPECT_THAT(**store->Find("order-1"),
              EqualsOrder(InState(confirmed, orders::v1::ORDER_STATE_CONFIRMED)));
  EXPECT_THAT(store->List(0, 1)->orders,
              ElementsAre(EqualsOrder(InState(confirmed, orders::v1::ORDER_STATE_CONFIRMED))));
  EXPECT_THAT(ToStrings(AllEvents(*store)),
              ElementsAre("1: order-1 PLACED", "2: order-2 PLACED", "3: order-1 CONFIRMED",
                          "4: order-2 CANCELLED"));
}

TEST_P(OrderStoreContract, NeverGivesAnOutboxItemTheIdOfOneThatIsGone) {
  auto store = Open();
  Place(*store, MakeOrder("order-1", "request-1"));
  const OutboxItem gone = WholeOutbox(*store)[0];
  ASSERT_TRUE(store->Settle(gone, orders::v1::ORDER_STATE_CONFIRMED).ok());
  store.reset();
  store = Open();
  Place(*store, MakeOrder("order-2", "request-2"));
  EXPECT_GT(WholeOutbox(*store)[0].id, gone.id);
  EXPECT_EQ(store->Outbox(gone.id, 10)->size(), 1u);
}

TEST_P(OrderStoreContract, KeepsTheTotalsThatReachFurthest) {
  const auto store = Open();
  ASSERT_TRUE(
      store->SaveTotals({.sequence = 5, .quantity_by_sku = {{"apple", 3}, {"fig", 1}}}).ok());
  ASSERT_TRUE(store->SaveTotals({.sequence = 7, .quantity_by_sku = {{"apple", 4}}}).ok());
  ASSERT_TRUE(store->SaveTotals({.sequence = 6, .quantity_by_sku = {{"pear", 9}}}).ok());
  const absl::StatusOr<SalesTotals> totals = Open()->LoadTotals();
  ASSERT_TRUE(totals.ok()) << totals.status();
  EXPECT_EQ(totals->sequence, 7);
  EXPECT_THAT(totals->quantity_by_sku, UnorderedElementsAre(Pair("apple", 4)));
}

TEST_P(OrderStoreContract, KeepsTotalsOfNothing) {
  const auto store = Open();
  ASSERT_TRUE(store->SaveTotals({.sequence = 2, .quantity_by_sku = {}}).ok());
  EXPECT_EQ(store->LoadTotals()->sequence, 2);
  EXPECT_THAT(store->LoadTotals()->quantity_by_sku, IsEmpty());
}

TEST_P(OrderStoreContract, GoesOnWhereItWasWhenOpenedAgain) {
  const Order order = MakeOrder("order-1", "request-1");
  auto store = Open();
  Place(*store, order);
  ASSERT_TRUE(store->Close().ok());
  store.reset();

  store = Open();
  EXPECT_FALSE(store->Place(MakeOrder("order-2", "request-1"), "reservation-2")->created);
  EXPECT_EQ(WholeOutbox(*store).size(), 1u);
  Place(*store, MakeOrder("order-3", "request-3"));
  EXPECT_THAT(ToStrings(AllEvents(*store)), ElementsAre("1: order-1 PLACED", "2: order-3 PLACED"));
}

TEST_P(OrderStoreContract, SeesWhatAnotherProcessWrites) {
  const auto one = Open();
  const auto other = Open();
  const Order order = MakeOrder("order-1", "request-1");
  Place(*one, order);
  EXPECT_FALSE(other->Place(MakeOrder("order-2", "request-1"), "reservation-2")->created);
  EXPECT_THAT(**other->Find("order-1"), EqualsOrder(Placed(order)));
  const OutboxItem item = WholeOutbox(*other)[0];
  ASSERT_TRUE(other->Settle(item, orders::v1::ORDER_STATE_CONFIRMED).ok());
  ASSERT_TRUE(one->Settle(item, orders::v1::ORDER_STATE_CONFIRMED).ok());
  EXPECT_THAT(ToStrings(AllEvents(*one)), ElementsAre("1: order-1 PLACED", "2: order-1 CONFIRMED"));
}

TEST_P(OrderStoreContract, CreatesEachRequestOnceWhenTwoProcessesWriteItAtOnce) {
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
  EXPECT_EQ(*stores[0]->LastSequence(), kRequests);
  EXPECT_EQ(stores[1]->List(0, 1000)->orders.size(), static_cast<std::size_t>(kRequests));
}

TEST_P(OrderStoreContract, ShowsEveryEventOnceAndInOrderToAReaderWhileTwoProcessesWrite) {
  constexpr int kOrdersEach = 40;
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
  while (last < kWriters * kOrdersEach) {
    const absl::StatusOr<std::vector<OrderEvent>> events = reading->EventsAfter(last, 7);
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
  ASSERT_TRUE(store->Close().ok());
  EXPECT_TRUE(store->Close().ok());

  const std::vector<absl::Status> answers = {
      store->Place(MakeOrder("order-2", "request-2"), "reservation-2").status(),
      store->FindByRequestId("request-1").status(),
      store->Find("order-1").status(),
      store->List(0, 10).status(),
      store->EventsAfter(0, 10).status(),
      store->LastSequence().status(),
      store->Outbox(0, 10).status(),
      store->Settle(item, orders::v1::ORDER_STATE_CONFIRMED),
      store->LoadTotals().status(),
      store->SaveTotals({.sequence = 1, .quantity_by_sku = {}}),
  };
  for (const absl::Status& answer : answers) {
    EXPECT_TRUE(absl::IsFailedPrecondition(answer)) << answer;
  }
}

TEST_P(OrderStoreContract, HasEveryOrderThatItAcknowledgedWhenClosedDuringCalls) {
  auto store = Open();
  std::vector<std::string> acknowledged[4];
  std::atomic<int> at_work = 0;
  std::vector<std::thread> writers;
  for (int writer = 0; writer < 4; ++writer) {
    writers.emplace_back([&, writer] {
      for (int i = 0;; ++i) {
        const std::string id = absl::StrCat("order-", writer, "-", i);
        const auto placed = PlaceInTheEnd(*store, MakeOrder(id, id));
        if (!placed.ok()) {
          EXPECT_TRUE(absl::IsFailedPrecondition(placed.status())) << placed.status();
          return;
        }
        acknowledged[writer].push_back(id);
        if (i == 0) ++at_work;
      }
    });
  }
  while (at_work < 4) std::this_thread::yield();
  EXPECT_TRUE(store->Close().ok());
  for (std::thread& writer : writers) writer.join();
  store.reset();

  store = Open();
  std::size_t expected = 0;
  for (const std::vector<std::string>& ids : acknowledged) {
    expected += ids.size();
    for (const std::string& id : ids) EXPECT_TRUE(store->Find(id)->has_value()) << id;
  }
  EXPECT_EQ(*store->LastSequence(), static_cast<std::int64_t>(expected));
}

}  // namespace
}  // namespace orders
