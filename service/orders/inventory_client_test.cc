#include "service/orders/inventory_client.h"

#include <chrono>
#include <future>
#include <memory>
#include <stop_token>
#include <utility>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/testing/fake_inventory.h"
#include "service/orders/testing/logged_lines.h"
#include "service/orders/testing/status_details.h"
#include "tests/common/eventually.h"

namespace orders {
namespace {

using lifecycle::Clock;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testkit::Soon;

v1::PlaceOrderRequest TwoTeasAndAMilk() {
  v1::PlaceOrderRequest request;
  request.set_request_id("r1");
  request.set_customer("Ada");
  v1::OrderItem* item = request.add_items();
  item->set_sku("tea");
  item->set_quantity(2);
  item = request.add_items();
  item->set_sku("milk");
  item->set_quantity(1);
  return request;
}

class InventoryClientTest : public ::testing::Test {
 protected:
  std::future<absl::Status> StartReserve() {
    auto promise = std::make_shared<std::promise<absl::Status>>();
    client_.Reserve(caller_, "id", TwoTeasAndAMilk(),
                    [promise](absl::Status status) { promise->set_value(std::move(status)); });
    return promise->get_future();
  }
  std::future<absl::Status> StartConfirm(std::stop_token give_up = {}) {
    auto promise = std::make_shared<std::promise<absl::Status>>();
    client_.Confirm("id", std::move(give_up),
                    [promise](absl::Status status) { promise->set_value(std::move(status)); });
    return promise->get_future();
  }
  absl::Status Confirm() { return Get(StartConfirm()); }
  absl::Status Reserve() { return Get(StartReserve()); }

  static absl::Status Get(std::future<absl::Status> status) {
    if (status.wait_for(testkit::kLong) != std::future_status::ready) {
      return absl::DeadlineExceededError("`done` was not called");
    }
    return status.get();
  }

  FakeInventory inventory_;
  std::stop_source answer_now_;
  InventoryClient client_{inventory_.address(), answer_now_.get_token()};
  // Of no real call: without deadline, never cancelled.
  const grpc::CallbackServerContext context_;
  const rpc::Call caller_{context_};
};

TEST_F(InventoryClientTest, ReservesAllItemsForAReservationsLife) {
  EXPECT_TRUE(Reserve().ok());
  const auto reserves = inventory_.reserves();
  ASSERT_EQ(reserves.size(), 1u);
  EXPECT_EQ(reserves[0].reservation_id(), "id");
  EXPECT_EQ(reserves[0].ttl().seconds(),
            std::chrono::seconds(InventoryClient::kReservationLife).count());
  ASSERT_EQ(reserves[0].items_size(), 2);
  EXPECT_EQ(reserves[0].items(0).sku(), "tea");
  EXPECT_EQ(reserves[0].items(0).quantity(), 2);
  EXPECT_EQ(reserves[0].items(1).sku(), "milk");
}

TEST_F(InventoryClientTest, ExplainsARefusalInTheWordsOfOrders) {
  const std::pair<grpc::StatusCode, std::string> answers[] = {
      {grpc::StatusCode::FAILED_PRECONDITION, "FAILED_PRECONDITION OUT_OF_STOCK"},
      {grpc::StatusCode::NOT_FOUND, "FAILED_PRECONDITION UNKNOWN_SKU"},
      {grpc::StatusCode::ALREADY_EXISTS, "ALREADY_EXISTS REQUEST_ID_REUSED"},
  };
  for (const auto& [code, told] : answers) {
    inventory_.AnswerReserve({code, "of tea there is none"});
    const absl::Status status = Reserve();
    EXPECT_EQ(CodeAndReason(status), told);
    EXPECT_THAT(std::string(status.message()), HasSubstr("of tea there is none"));
    EXPECT_FALSE(SaysWhenToRetry(status));
  }
}

TEST_F(InventoryClientTest, TellsEveryOtherErrorAsUnavailable) {
  for (const grpc::StatusCode code :
       {grpc::StatusCode::UNAVAILABLE, grpc::StatusCode::CANCELLED, grpc::StatusCode::INTERNAL,
        grpc::StatusCode::DEADLINE_EXCEEDED, grpc::StatusCode::RESOURCE_EXHAUSTED,
        grpc::StatusCode::UNKNOWN, grpc::StatusCode::INVALID_ARGUMENT,
        grpc::StatusCode::UNIMPLEMENTED}) {
    inventory_.AnswerReserve({code, "a secret of the inventory's"});
    const absl::Status status = Reserve();
    EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE INVENTORY_UNAVAILABLE") << code;
    EXPECT_TRUE(SaysWhenToRetry(status)) << code;
    EXPECT_THAT(std::string(status.message()), ::testing::Not(HasSubstr("secret")));
  }
}

TEST_F(InventoryClientTest, LogsWhatNoRetryCures) {
  const LoggedLines logged;
  // A new one: each says it once a minute.
  InventoryClient client(inventory_.address());
  const auto reserve = [&](const grpc::Status& answer) {
    inventory_.AnswerReserve(answer);
    std::promise<absl::Status> told;
    client.Reserve(caller_, "id", TwoTeasAndAMilk(),
                   [&told](absl::Status status) { told.set_value(std::move(status)); });
    return CodeAndReason(Get(told.get_future()));
  };
  for (const grpc::StatusCode code :
       {grpc::StatusCode::OK, grpc::StatusCode::FAILED_PRECONDITION, grpc::StatusCode::NOT_FOUND,
        grpc::StatusCode::ALREADY_EXISTS, grpc::StatusCode::CANCELLED,
        grpc::StatusCode::DEADLINE_EXCEEDED, grpc::StatusCode::RESOURCE_EXHAUSTED}) {
    reserve({code, "nothing is wrong here"});
  }
  EXPECT_EQ(reserve({grpc::StatusCode::PERMISSION_DENIED, "not you,\x1b[2J orders"}),
            "UNAVAILABLE INVENTORY_UNAVAILABLE");
  for (int i = 0; i < 20; ++i) reserve({grpc::StatusCode::UNIMPLEMENTED, "no such method"});
  ASSERT_TRUE(client.Close(Soon()).ok());
  EXPECT_THAT(
      logged.Get(),
      ElementsAre(AllOf(HasSubstr(inventory_.address()), HasSubstr("1 time in the last minute"),
                        HasSubstr("PERMISSION_DENIED: not you,\\x1b[2J orders"))));
}

TEST_F(InventoryClientTest, TriesAgainBeforeItTellsAnything) {
  inventory_.RefuseNext(2);
  EXPECT_TRUE(Reserve().ok());
  EXPECT_EQ(inventory_.reserves().size(), 3u);
}

TEST_F(InventoryClientTest, IsUnavailableWhenNobodyListens) {
  inventory_.Stop();
  EXPECT_EQ(CodeAndReason(Reserve()), "UNAVAILABLE INVENTORY_UNAVAILABLE");
  EXPECT_THAT(Confirm().code(),
              AnyOf(absl::StatusCode::kUnavailable, absl::StatusCode::kDeadlineExceeded));
  EXPECT_FALSE(client_.AwaitConnected(Clock::Steady().Now() + std::chrono::milliseconds(20)));
}

TEST_F(InventoryClientTest, IsUnavailableWhenTheInventoryHangs) {
  inventory_.Hold();
  EXPECT_EQ(CodeAndReason(Reserve()), "UNAVAILABLE INVENTORY_UNAVAILABLE");
  EXPECT_TRUE(inventory_.AwaitCancelled(1));
}

TEST_F(InventoryClientTest, AnswerNowEndsReservingButNotConfirming) {
  inventory_.Hold();
  auto reserved = StartReserve();
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  auto confirmed = StartConfirm();
  ASSERT_TRUE(inventory_.AwaitConfirms(1));
  answer_now_.request_stop();
  EXPECT_EQ(CodeAndReason(Get(std::move(reserved))), "UNAVAILABLE INVENTORY_UNAVAILABLE");
  EXPECT_EQ(CodeAndReason(Reserve()), "UNAVAILABLE INVENTORY_UNAVAILABLE");
  inventory_.Release();
  EXPECT_TRUE(Get(std::move(confirmed)).ok());
}

TEST_F(InventoryClientTest, ConfirmsAndTellsTheAnswerAsItIs) {
  EXPECT_TRUE(client_.AwaitConnected(Soon()));
  EXPECT_TRUE(Confirm().ok());
  inventory_.AnswerConfirm({grpc::StatusCode::FAILED_PRECONDITION, "expired"});
  EXPECT_TRUE(absl::IsFailedPrecondition(Confirm()));
  inventory_.AnswerConfirm({grpc::StatusCode::NOT_FOUND, "unknown"});
  EXPECT_TRUE(absl::IsNotFound(Confirm()));
}

TEST_F(InventoryClientTest, GivesUpConfirmingWhenItIsToldTo) {
  inventory_.Hold();
  std::stop_source give_up;
  auto confirmed = StartConfirm(give_up.get_token());
  ASSERT_TRUE(inventory_.AwaitConfirms(1));
  give_up.request_stop();
  EXPECT_TRUE(absl::IsCancelled(Get(std::move(confirmed))));
  EXPECT_TRUE(inventory_.AwaitCancelled(1));
}

TEST_F(InventoryClientTest, ReleasesAlsoWhatNobodyWaitsFor) {
  auto promise = std::make_shared<std::promise<absl::Status>>();
  client_.Release("sold", {}, [promise](absl::Status status) { promise->set_value(status); });
  EXPECT_TRUE(Get(promise->get_future()).ok());
  client_.Abandon("unused");
  EXPECT_TRUE(inventory_.AwaitReleases(2));
  EXPECT_THAT(inventory_.releases(), ElementsAre("sold", "unused"));
  EXPECT_THAT(inventory_.releases_even_if_confirmed(), ElementsAre("sold"));
}

TEST_F(InventoryClientTest, RefusesEverythingOnceItIsClosed) {
  ASSERT_TRUE(Reserve().ok());
  ASSERT_TRUE(client_.Close(Soon()).ok());
  EXPECT_EQ(CodeAndReason(Reserve()), "UNAVAILABLE INVENTORY_UNAVAILABLE");
  EXPECT_TRUE(absl::IsUnavailable(Confirm()));
  EXPECT_TRUE(client_.Close(Soon()).ok());
}

TEST_F(InventoryClientTest, CloseCancelsCallsAsUnavailable) {
  inventory_.Hold();
  auto reserved = StartReserve();
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  auto confirmed = StartConfirm();
  ASSERT_TRUE(inventory_.AwaitConfirms(1));
  const absl::Status closed = client_.Close(Soon());
  EXPECT_TRUE(closed.ok()) << closed;
  EXPECT_EQ(CodeAndReason(Get(std::move(reserved))), "UNAVAILABLE INVENTORY_UNAVAILABLE");
  EXPECT_TRUE(absl::IsCancelled(Get(std::move(confirmed))));
  EXPECT_TRUE(inventory_.AwaitCancelled(2));
}

}  // namespace
}  // namespace orders
