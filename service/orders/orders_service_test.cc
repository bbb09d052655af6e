#include "service/orders/orders_service.h"

#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/resume_token.h"
#include "service/orders/sqlite_order_schema.h"
#include "service/orders/testing/fake_inventory.h"
#include "service/orders/testing/orders_under_test.h"
#include "service/orders/testing/status_details.h"
#include "service/orders/testing/temporary_database.h"
#include "service/rpc/status.h"
#include "service/sqlite/database.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Its unary methods; the streams have tests of their own.
class OrdersServiceTest : public ::testing::Test {
 protected:
  std::size_t Stored() { return orders_.store().List(0, 1000, Soon())->orders.size(); }

  const TemporaryDatabase database_;
  FakeInventory inventory_;
  OrdersUnderTest orders_{database_, inventory_};
  const std::unique_ptr<v1::OrdersService::Stub> stub_ = orders_.NewStub();
};

TEST_F(OrdersServiceTest, PlacesAnOrderThatCanBeReadAfterwards) {
  const auto placed = Place(*stub_, NewRequest("r1", "tea", 3));
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_EQ(placed->state(), v1::ORDER_STATE_PLACED);
  const auto got = Get(*stub_, placed->order_id());
  ASSERT_TRUE(got.ok()) << got.status();
  EXPECT_EQ(got->SerializeAsString(), placed->SerializeAsString());
}

TEST_F(OrdersServiceTest, ConfirmsWhatItHasPlaced) {
  orders_.StartRelay();
  const auto placed = Place(*stub_, NewRequest("r1"));
  ASSERT_TRUE(placed.ok()) << placed.status();
  EXPECT_TRUE(testkit::Eventually(
      [&] { return Get(*stub_, placed->order_id())->state() == v1::ORDER_STATE_CONFIRMED; }));
}

TEST_F(OrdersServiceTest, AnswersARepeatedRequestWithTheSameOrder) {
  const auto first = Place(*stub_, NewRequest("r1"));
  const auto again = Place(*stub_, NewRequest("r1"));
  ASSERT_TRUE(first.ok() && again.ok()) << first.status() << again.status();
  EXPECT_EQ(first->order_id(), again->order_id());
  EXPECT_EQ(Stored(), 1u);
}

TEST_F(OrdersServiceTest, AnswersARepeatedRequestAtEveryReplica) {
  OrdersUnderTest replica(database_, inventory_);
  const auto first = Place(*stub_, NewRequest("r1"));
  const auto again = Place(*replica.NewStub(), NewRequest("r1"));
  ASSERT_TRUE(first.ok() && again.ok()) << first.status() << again.status();
  EXPECT_EQ(first->order_id(), again->order_id());
}

TEST_F(OrdersServiceTest, ConcurrentRepeatsOfARequestPlaceOneOrder) {
  OrdersUnderTest replica(database_, inventory_);
  const auto other_stub = replica.NewStub();
  std::vector<std::future<absl::StatusOr<v1::Order>>> calls;
  inventory_.Hold();
  for (int i = 0; i < 8; ++i) {
    calls.push_back(std::async(std::launch::async, [&, i] {
      return Place(i % 2 == 0 ? *stub_ : *other_stub, NewRequest("r1"));
    }));
  }
  ASSERT_TRUE(inventory_.AwaitReserves(8));
  inventory_.Release();
  std::set<std::string> ids;
  for (auto& call : calls) {
    const auto placed = call.get();
    ASSERT_TRUE(placed.ok()) << placed.status();
    ids.insert(placed->order_id());
  }
  EXPECT_EQ(ids.size(), 1u);
  EXPECT_EQ(Stored(), 1u);
}

TEST_F(OrdersServiceTest, RefusesAnIdThatComesWithOtherContent) {
  ASSERT_TRUE(Place(*stub_, NewRequest("r1", "tea", 1)).ok());
  const absl::Status status = Place(*stub_, NewRequest("r1", "tea", 2)).status();
  EXPECT_EQ(CodeAndReason(status), "ALREADY_EXISTS REQUEST_ID_REUSED");
}

TEST_F(OrdersServiceTest, ConcurrentContentsOfOneIdStoreOneOrder) {
  std::vector<std::future<absl::StatusOr<v1::Order>>> calls;
  inventory_.Hold();
  for (int i = 1; i <= 8; ++i) {
    calls.push_back(std::async(std::launch::async,
                               [&, i] { return Place(*stub_, NewRequest("r1", "tea", i)); }));
  }
  ASSERT_TRUE(inventory_.AwaitReserves(8));
  inventory_.Release();
  int placed = 0;
  for (auto& call : calls) {
    const auto answer = call.get();
    if (answer.ok()) {
      ++placed;
    } else {
      EXPECT_EQ(CodeAndReason(answer.status()), "ALREADY_EXISTS REQUEST_ID_REUSED");
    }
  }
  EXPECT_EQ(placed, 1);
}

TEST_F(OrdersServiceTest, NamesEveryFieldThatIsWrong) {
  v1::PlaceOrderRequest request = NewRequest("", "", 0);
  const absl::Status status = Place(*stub_, request).status();
  EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT");
  EXPECT_THAT(WrongFields(status), ElementsAre("request_id", "items[0].sku", "items[0].quantity"));
}

TEST_F(OrdersServiceTest, RefusesAnOrderThatIsOutOfStock) {
  inventory_.AnswerReserve({grpc::StatusCode::FAILED_PRECONDITION, "tea: 3 wanted, 2 there"});
  const absl::Status status = Place(*stub_, NewRequest("r1", "tea", 3)).status();
  EXPECT_EQ(CodeAndReason(status), "FAILED_PRECONDITION OUT_OF_STOCK");
  EXPECT_THAT(std::string(status.message()), HasSubstr("tea"));
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(OrdersServiceTest, RefusesAnOrderOfWhatNobodySells) {
  inventory_.AnswerReserve({grpc::StatusCode::NOT_FOUND, "there is no unicorn"});
  const absl::Status status = Place(*stub_, NewRequest("r1", "unicorn")).status();
  EXPECT_EQ(CodeAndReason(status), "FAILED_PRECONDITION UNKNOWN_SKU");
  EXPECT_THAT(std::string(status.message()), HasSubstr("unicorn"));
}

TEST_F(OrdersServiceTest, StoresNothingWhenTheInventoryCannotBeReached) {
  inventory_.Stop();
  const absl::Status status = Place(*stub_, NewRequest("r1")).status();
  EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE INVENTORY_UNAVAILABLE");
  EXPECT_TRUE(SaysWhenToRetry(status));
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(OrdersServiceTest, EveryMethodReportsAMissingDatabase) {
  ASSERT_TRUE(orders_.store().Close(Soon()).ok());
  for (const absl::Status& status : {Place(*stub_, NewRequest("r1")).status(),
                                     Get(*stub_, "o").status(), List(*stub_).status()}) {
    EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE STORE_UNAVAILABLE");
    EXPECT_TRUE(SaysWhenToRetry(status));
  }
}

TEST_F(OrdersServiceTest, SaysOfEveryMethodThatItIsOverloaded) {
  OrdersUnderTest small(database_, inventory_, {.pool_threads = 1, .pool_capacity = 1});
  const auto stub = small.NewStub();
  Busy busy(small.pool());
  ASSERT_TRUE(small.pool().Run([] {}));
  for (const absl::Status& status :
       {Place(*stub, NewRequest("r1")).status(), Get(*stub, "o").status(), List(*stub).status()}) {
    EXPECT_EQ(CodeAndReason(status), "RESOURCE_EXHAUSTED OVERLOADED");
    EXPECT_TRUE(SaysWhenToRetry(status));
  }
  busy.End();
  EXPECT_TRUE(testkit::Eventually([&] { return List(*stub).ok(); }));
}

TEST_F(OrdersServiceTest, CancelsAnOrderAndGivesItsStockBack) {
  const auto placed = Place(*stub_, NewRequest("r1"));
  ASSERT_TRUE(placed.ok()) << placed.status();
  for (int i = 0; i < 2; ++i) {
    const auto cancelled = Cancel(*stub_, placed->order_id());
    ASSERT_TRUE(cancelled.ok()) << cancelled.status();
    EXPECT_EQ(cancelled->state(), v1::ORDER_STATE_CANCELLED);
  }
  orders_.StartRelay();
  ASSERT_TRUE(inventory_.AwaitReleases(1));
  EXPECT_THAT(inventory_.releases(), ElementsAre(inventory_.reserves().at(0).reservation_id()));
  EXPECT_THAT(inventory_.confirms(), IsEmpty());
}

TEST_F(OrdersServiceTest, CancelsAConfirmedOrderToo) {
  orders_.StartRelay();
  const auto placed = Place(*stub_, NewRequest("r1"));
  ASSERT_TRUE(testkit::Eventually(
      [&] { return Get(*stub_, placed->order_id())->state() == v1::ORDER_STATE_CONFIRMED; }));
  EXPECT_EQ(Cancel(*stub_, placed->order_id())->state(), v1::ORDER_STATE_CANCELLED);
  EXPECT_TRUE(inventory_.AwaitReleases(1));
}

TEST_F(OrdersServiceTest, CancelsNoOrderThatWasNotPlaced) {
  EXPECT_EQ(CodeAndReason(Cancel(*stub_, "o").status()), "NOT_FOUND UNKNOWN_ORDER");
}

TEST_F(OrdersServiceTest, CancelsNoOrderWithoutAReservation) {
  const auto placed = Place(*stub_, NewRequest("r1"));
  const auto older_version = sqlite::Database::Open(database_.path(), SqliteOrderSchema(), {});
  ASSERT_TRUE(older_version.ok()) << older_version.status();
  ASSERT_TRUE((*older_version)
                  ->RunScript("UPDATE orders SET reservation_id = ''; DELETE FROM outbox")
                  .ok());
  EXPECT_EQ(CodeAndReason(Cancel(*stub_, placed->order_id()).status()),
            "FAILED_PRECONDITION ORDER_CONFIRMED");
}

// The orders can still be read: that says nothing of whether they could be cancelled.
TEST_F(OrdersServiceTest, AnswersNoCancelFinallyWhenItsFileIsGone) {
  const auto placed = Place(*stub_, NewRequest("r1"));
  ASSERT_TRUE(placed.ok()) << placed.status();
  std::filesystem::rename(database_.path(), database_.path() + ".moved");
  for (const std::string& id : {placed->order_id(), std::string("o")}) {
    const absl::Status status = Cancel(*stub_, id).status();
    EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE STORE_UNAVAILABLE");
    EXPECT_TRUE(SaysWhenToRetry(status));
  }
}

TEST_F(OrdersServiceTest, TellsHowMuchWasOrderedWithoutCancelledOrders) {
  const auto sales = [this] {
    CallContext context;
    v1::GetSalesResponse response;
    EXPECT_TRUE(stub_->GetSales(&context, {}, &response).ok());
    std::string all = std::to_string(response.sequence()) + ":";
    for (const auto& one : response.sales()) {
      all += " " + std::string(one.sku()) + "=" + std::to_string(one.quantity());
    }
    return all;
  };
  EXPECT_EQ(sales(), "0:");
  ASSERT_TRUE(Place(*stub_, NewRequest("r1", "tea", 3)).ok());
  ASSERT_TRUE(Place(*stub_, NewRequest("r2", "milk", 2)).ok());
  const auto cancelled = Place(*stub_, NewRequest("r3", "milk", 5));
  EXPECT_TRUE(testkit::Eventually([&] { return sales() == "3: milk=7 tea=3"; })) << sales();
  ASSERT_TRUE(Cancel(*stub_, cancelled->order_id()).ok());
  EXPECT_TRUE(testkit::Eventually([&] { return sales() == "4: milk=2 tea=3"; })) << sales();
}

// Load that the pool cannot keep up with: what it does is for those who still wait.
TEST_F(OrdersServiceTest, BeginsNothingForCallersWhoHaveGivenUp) {
  constexpr std::chrono::milliseconds kPatience(300);
  OrdersUnderTest slow(database_, inventory_, {.pool_threads = 1, .pool_capacity = 1000});
  const auto stub = slow.NewStub();
  Busy busy(slow.pool());
  const auto start = [&](const std::string& id, std::chrono::milliseconds patience) {
    return std::async(std::launch::async, [&stub, id, patience] {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + patience);
      v1::PlaceOrderResponse response;
      return rpc::FromGrpc(stub->PlaceOrder(&context, NewRequest(id), &response));
    });
  };
  std::vector<std::future<absl::Status>> gone;
  for (int i = 0; i < 40; ++i) {
    gone.push_back(start("gone" + std::to_string(i), kPatience));
  }
  std::vector<std::future<absl::Status>> waiting;
  for (int i = 0; i < 5; ++i) waiting.push_back(start("waits" + std::to_string(i), testkit::kLong));
  for (auto& call : gone) EXPECT_TRUE(absl::IsDeadlineExceeded(call.get()));
  // The server counts a call's time from when it reads the call. It reads them in order, and all of
  // those before this one.
  CallContext context;
  v1::GetSalesResponse sales;
  EXPECT_TRUE(stub->GetSales(&context, {}, &sales).ok());
  const auto over = std::chrono::steady_clock::now() + kPatience + std::chrono::milliseconds(50);
  ASSERT_TRUE(testkit::Eventually([&] { return std::chrono::steady_clock::now() > over; }));
  busy.End();
  for (auto& call : waiting) EXPECT_TRUE(call.get().ok());
  EXPECT_EQ(inventory_.reserves().size(), 5u);
  EXPECT_EQ(Stored(), 5u);
}

TEST_F(OrdersServiceTest, ACallerLeavingAfterTheReservationStoresNothing) {
  constexpr std::chrono::seconds kPatience(2);
  OrdersUnderTest slow(database_, inventory_, {.pool_threads = 1, .pool_capacity = 1000});
  const auto stub = slow.NewStub();
  inventory_.Hold();
  auto call = std::async(std::launch::async, [&] {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kPatience);
    v1::PlaceOrderResponse response;
    return rpc::FromGrpc(stub->PlaceOrder(&context, NewRequest("r1"), &response));
  });
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  // The server has read the call, and counts its time from then on.
  const auto over = std::chrono::steady_clock::now() + kPatience + std::chrono::milliseconds(50);
  Busy busy(slow.pool());
  inventory_.Release();
  EXPECT_TRUE(absl::IsDeadlineExceeded(call.get()));
  ASSERT_TRUE(testkit::Eventually([&] { return std::chrono::steady_clock::now() > over; }));
  busy.End();
  ASSERT_TRUE(inventory_.AwaitReleases(1));
  EXPECT_EQ(Stored(), 0u);
}

TEST_F(OrdersServiceTest, ListsTheLargestOrdersOnReceivablePages) {
  constexpr int kOrders = 200;
  const auto characters = [](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += "\xF0\x9F\x98\x80";
    return text;
  };
  v1::Order largest;
  largest.set_customer(characters(128));
  for (int i = 100; i < 200; ++i) {
    v1::OrderItem& item = *largest.add_items();
    item.set_sku(characters(61) + std::to_string(i));
    item.set_quantity(1000000);
  }
  for (int i = 0; i < kOrders; ++i) {
    largest.set_order_id(std::to_string(i));
    largest.set_request_id(characters(61) + std::to_string(100 + i));
    PlaceIn(orders_.store(), largest);
  }
  ASSERT_GT(largest.ByteSizeLong() * kOrders, 4u << 20);
  std::vector<std::string> listed;
  std::string token;
  do {
    const auto page = List(*stub_, 500, token);
    ASSERT_TRUE(page.ok()) << page.status();
    for (const v1::Order& order : page->orders()) listed.push_back(order.order_id());
    token = page->next_page_token();
  } while (!token.empty());
  ASSERT_EQ(listed.size(), static_cast<std::size_t>(kOrders));
  for (int i = 0; i < kOrders; ++i) EXPECT_EQ(listed[i], std::to_string(i));
}

TEST_F(OrdersServiceTest, KnowsNoOrderThatWasNotPlaced) {
  for (const char* id : {"no such order", ""}) {
    EXPECT_EQ(CodeAndReason(Get(*stub_, id).status()), "NOT_FOUND UNKNOWN_ORDER");
  }
}

TEST_F(OrdersServiceTest, RefusesAnIdThatNotEveryDatabaseCanHold) {
  const std::string id("o\0", 2);
  for (const absl::Status& status : {Get(*stub_, id).status(), Cancel(*stub_, id).status()}) {
    EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT");
    EXPECT_THAT(WrongFields(status), ElementsAre("order_id"));
  }
}

TEST_F(OrdersServiceTest, RefusesARequestThatIsTooLarge) {
  v1::PlaceOrderRequest request = NewRequest("r1");
  request.set_customer(std::string(5 << 20, 'c'));
  EXPECT_TRUE(absl::IsResourceExhausted(Place(*stub_, request).status()));
}

TEST_F(OrdersServiceTest, ListsAllOrdersAPageAtATime) {
  std::vector<std::string> placed;
  for (int i = 0; i < 7; ++i) {
    placed.push_back("r" + std::to_string(i));
    PlaceIn(orders_.store(), placed.back());
  }
  std::vector<std::string> listed;
  std::vector<int> sizes;
  std::string token;
  do {
    const auto page = List(*stub_, 3, token);
    ASSERT_TRUE(page.ok()) << page.status();
    sizes.push_back(page->orders_size());
    for (const v1::Order& order : page->orders()) listed.push_back(order.request_id());
    token = page->next_page_token();
  } while (!token.empty());
  EXPECT_EQ(listed, placed);
  EXPECT_THAT(sizes, ElementsAre(3, 3, 1));
}

TEST_F(OrdersServiceTest, ListsNothingWhenThereIsNothing) {
  const auto page = List(*stub_);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_THAT(page->orders(), IsEmpty());
  EXPECT_EQ(page->next_page_token(), "");
}

TEST_F(OrdersServiceTest, ListsAtMostAsManyAsItPromises) {
  v1::Order largest;
  largest.set_customer(std::string(128, 'c'));
  for (int i = 100; i < 200; ++i) {
    v1::OrderItem& item = *largest.add_items();
    item.set_sku(std::string(61, 's') + std::to_string(i));
    item.set_quantity(1000000);
  }
  for (int i = 1000; i < 1510; ++i) {
    largest.set_order_id(std::string(28, 'o') + std::to_string(i));
    largest.set_request_id(std::string(60, 'r') + std::to_string(i));
    ASSERT_TRUE(orders_.store().Place({largest, "reservation"}, Soon()).ok());
  }
  EXPECT_EQ(List(*stub_)->orders_size(), 50);
  // As large as an answer can be, and a caller with gRPC's own limit takes it.
  const auto page = List(*stub_, 1000000);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ(page->orders_size(), 500);
}

TEST_F(OrdersServiceTest, RefusesAPageThatCannotBe) {
  const absl::Status negative = List(*stub_, -1).status();
  EXPECT_EQ(CodeAndReason(negative), "INVALID_ARGUMENT");
  EXPECT_THAT(WrongFields(negative), ElementsAre("page_size"));
  const TemporaryDatabase elsewhere;
  for (const std::string& token :
       {std::string("junk"), MakeToken(TokenKind::kWatch, orders_.store().DatabaseId(), 1),
        MakeToken(TokenKind::kPage, elsewhere.Open()->DatabaseId(), 1)}) {
    const absl::Status status = List(*stub_, 0, token).status();
    EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT");
    EXPECT_THAT(WrongFields(status), ElementsAre("page_token"));
  }
}

TEST_F(OrdersServiceTest, RefusesAPageTokenOfAnotherDatabase) {
  TemporaryDatabase elsewhere;
  OrdersUnderTest other(elsewhere, inventory_);
  const auto stub = other.NewStub();
  for (const char* id : {"r1", "r2"}) ASSERT_TRUE(Place(*stub, NewRequest(id)).ok());
  const auto page = List(*stub, 1);
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_TRUE(List(*stub, 1, page->next_page_token()).ok());
  const absl::Status status = List(*stub_, 1, page->next_page_token()).status();
  EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT");
  EXPECT_THAT(WrongFields(status), ElementsAre("page_token"));
}

TEST_F(OrdersServiceTest, AnswersWhatItAcceptedThoughItDrains) {
  inventory_.Hold();
  auto placing = std::async(std::launch::async, [this] { return Place(*stub_, NewRequest("r1")); });
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  orders_.Drain();
  EXPECT_TRUE(List(*stub_).ok());
  inventory_.Release();
  EXPECT_TRUE(placing.get().ok());
}

TEST_F(OrdersServiceTest, ACallerLeavingBeforeTheReservationStoresNothing) {
  inventory_.Hold();
  CallContext context;
  auto placing = std::async(std::launch::async, [&] {
    v1::PlaceOrderResponse response;
    return rpc::FromGrpc(stub_->PlaceOrder(&context, NewRequest("r1"), &response));
  });
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  context.TryCancel();
  EXPECT_TRUE(absl::IsCancelled(placing.get()));
  // Its cancellation goes on to the inventory.
  EXPECT_TRUE(inventory_.AwaitCancelled(1));
  inventory_.Release();
  EXPECT_EQ(Stored(), 0u);
  EXPECT_TRUE(Place(*stub_, NewRequest("r1")).ok());
}

TEST_F(OrdersServiceTest, GivesTheInventoryItsCallersRemainingTime) {
  inventory_.Hold();
  // On a busy machine the first may be too late before it gets there.
  while (inventory_.reserves().empty()) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(200));
    v1::PlaceOrderResponse response;
    // The call to the inventory ends in the same moment: its end may be answered before
    // the caller has noticed that its own time is over.
    EXPECT_THAT(stub_->PlaceOrder(&context, NewRequest("r1"), &response).error_code(),
                AnyOf(grpc::StatusCode::DEADLINE_EXCEEDED, grpc::StatusCode::UNAVAILABLE));
  }
  EXPECT_TRUE(inventory_.AwaitCancelled(1));
}

TEST_F(OrdersServiceTest, SurvivesCallersLeavingASlowDatabase) {
  OrdersUnderTest slow(database_, inventory_, {.pool_threads = 1, .pool_capacity = 100});
  const auto stub = slow.NewStub();
  // The connection stands before the calls are made.
  ASSERT_TRUE(List(*stub).ok());
  Busy busy(slow.pool());
  std::vector<std::future<absl::Status>> calls;
  for (int i = 0; i < 10; ++i) {
    calls.push_back(std::async(std::launch::async, [&] {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
      v1::ListOrdersResponse response;
      return rpc::FromGrpc(stub->ListOrders(&context, v1::ListOrdersRequest(), &response));
    }));
  }
  for (auto& call : calls) EXPECT_TRUE(absl::IsDeadlineExceeded(call.get()));
  busy.End();
  EXPECT_TRUE(List(*stub).ok());
}

}  // namespace
}  // namespace orders
