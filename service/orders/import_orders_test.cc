#include "service/orders/import_orders.h"

#include <atomic>
#include <future>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gmock/gmock.h"
#include "grpcpp/completion_queue.h"
#include "grpcpp/generic/generic_stub.h"
#include "gtest/gtest.h"
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

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// One ImportOrders call.
class Import {
 public:
  explicit Import(v1::OrdersService::Stub& stub)
      : stream_(stub.ImportOrders(&context_, &response_)) {}

  // Whether the call was still alive.
  bool Send(const v1::PlaceOrderRequest& order) {
    v1::ImportOrdersRequest request;
    *request.mutable_order() = order;
    return stream_->Write(request);
  }
  void Cancel() { context_.TryCancel(); }
  // How the call ends when the caller has nothing more to send.
  absl::Status End() {
    stream_->WritesDone();
    return AwaitEnd();
  }
  // How it ends by itself.
  absl::Status AwaitEnd() { return rpc::FromGrpc(stream_->Finish()); }

  std::int64_t durable_orders() const { return response_.durable_orders(); }

 private:
  CallContext context_;
  v1::ImportOrdersResponse response_;
  std::unique_ptr<grpc::ClientWriter<v1::ImportOrdersRequest>> stream_;
};

class ImportOrdersTest : public ::testing::Test {
 protected:
  std::vector<std::string> Stored() {
    std::vector<std::string> ids;
    const auto page = orders_.store().List(0, 100000, Soon());
    for (const v1::Order& order : page->orders) ids.push_back(order.request_id());
    return ids;
  }
  void ExpectGoodbye(const absl::Status& status, int durable_orders) {
    EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE SERVER_DRAINING");
    EXPECT_TRUE(SaysWhenToRetry(status));
    EXPECT_EQ(Metadata(status, "durable_orders"), std::to_string(durable_orders));
  }

  const TemporaryDatabase database_;
  FakeInventory inventory_;
  OrdersUnderTest orders_{database_, inventory_};
  const std::unique_ptr<v1::OrdersService::Stub> stub_ = orders_.NewStub();
};

TEST_F(ImportOrdersTest, StoresOrdersInTheOrderTheyAreSent) {
  Import import(*stub_);
  for (const char* id : {"r3", "r1", "r2"}) ASSERT_TRUE(import.Send(NewRequest(id)));
  const absl::Status status = import.End();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(import.durable_orders(), 3);
  EXPECT_THAT(Stored(), ElementsAre("r3", "r1", "r2"));
}

TEST_F(ImportOrdersTest, MayBeEmpty) {
  Import import(*stub_);
  EXPECT_TRUE(import.End().ok());
  EXPECT_EQ(import.durable_orders(), 0);
}

TEST_F(ImportOrdersTest, CountsKnownOrdersWithoutStoringThemAgain) {
  ASSERT_TRUE(Place(*stub_, NewRequest("r1")).ok());
  Import import(*stub_);
  for (const char* id : {"r1", "r2", "r2"}) ASSERT_TRUE(import.Send(NewRequest(id)));
  EXPECT_TRUE(import.End().ok());
  EXPECT_EQ(import.durable_orders(), 3);
  EXPECT_THAT(Stored(), ElementsAre("r1", "r2"));
}

TEST_F(ImportOrdersTest, StopsAtAnOrderThatIsWrong) {
  Import import(*stub_);
  import.Send(NewRequest("r1"));
  import.Send(NewRequest("r2", "", 1));
  import.Send(NewRequest("r3"));
  const absl::Status status = import.AwaitEnd();
  EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT ORDER_REFUSED");
  EXPECT_THAT(WrongFields(status), ElementsAre("items[0].sku"));
  EXPECT_EQ(Metadata(status, "durable_orders"), "1");
  EXPECT_THAT(Stored(), ElementsAre("r1"));
}

TEST_F(ImportOrdersTest, SaysHowManyAreStoredHoweverLongTheWrongTextIs) {
  v1::PlaceOrderRequest wrong = NewRequest("r3", std::string(2500, 's'), 1);
  *wrong.add_items() = wrong.items(0);
  Import import(*stub_);
  for (const char* id : {"r1", "r2"}) import.Send(NewRequest(id));
  import.Send(wrong);
  const absl::Status status = import.AwaitEnd();
  EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT ORDER_REFUSED");
  EXPECT_EQ(Metadata(status, "durable_orders"), "2");
  EXPECT_THAT(WrongFields(status), ElementsAre("items[0].sku", "items[1].sku", "items[1].sku"));
}

TEST_F(ImportOrdersTest, StopsAtARefusedOrderWithItsReason) {
  ASSERT_TRUE(Place(*stub_, NewRequest("r2", "tea", 9)).ok());
  Import import(*stub_);
  import.Send(NewRequest("r1"));
  import.Send(NewRequest("r2"));
  import.Send(NewRequest("r3"));
  const absl::Status status = import.AwaitEnd();
  EXPECT_EQ(CodeAndReason(status), "ALREADY_EXISTS REQUEST_ID_REUSED");
  EXPECT_EQ(Metadata(status, "durable_orders"), "1");
  EXPECT_THAT(Stored(), ElementsAre("r2", "r1"));
}

TEST_F(ImportOrdersTest, StopsAtWhatIsNoOrderAtAll) {
  CallContext context;
  grpc::GenericStub stub(orders_.NewChannel());
  grpc::CompletionQueue queue;
  void* tag = nullptr;
  bool ok = false;
  const auto call = stub.PrepareCall(&context, "/orders.v1.OrdersService/ImportOrders", &queue);
  call->StartCall(nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  const auto bytes_of = [](const char* request_id) {
    v1::ImportOrdersRequest order;
    *order.mutable_order() = NewRequest(request_id);
    return order.SerializeAsString();
  };
  for (const std::string& bytes :
       {bytes_of("r1"), bytes_of("r2"), std::string("\xff\xff"), bytes_of("r3"), bytes_of("r4")}) {
    const grpc::Slice slice(bytes);
    call->Write(grpc::ByteBuffer(&slice, 1), nullptr);
    ASSERT_TRUE(queue.Next(&tag, &ok));
  }
  grpc::Status ended;
  call->Finish(&ended, nullptr);
  ASSERT_TRUE(queue.Next(&tag, &ok));
  const absl::Status status = rpc::FromGrpc(ended);
  EXPECT_EQ(CodeAndReason(status), "INVALID_ARGUMENT UNDECODABLE_MESSAGE");
  EXPECT_EQ(Metadata(status, "durable_orders"), "2");
  EXPECT_THAT(Stored(), ElementsAre("r1", "r2"));
}

TEST_F(ImportOrdersTest, StopsWhenTheInventoryIsGone) {
  Import import(*stub_);
  import.Send(NewRequest("r1"));
  ASSERT_TRUE(testkit::Eventually([this] { return !Stored().empty(); }));
  inventory_.Stop();
  import.Send(NewRequest("r2"));
  const absl::Status status = import.AwaitEnd();
  EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE INVENTORY_UNAVAILABLE");
  EXPECT_TRUE(SaysWhenToRetry(status));
  EXPECT_EQ(Metadata(status, "durable_orders"), "1");
}

TEST_F(ImportOrdersTest, StopsWhenTheDatabaseIsGone) {
  ASSERT_TRUE(orders_.store().Close(Soon()).ok());
  Import import(*stub_);
  import.Send(NewRequest("r1"));
  const absl::Status status = import.AwaitEnd();
  EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE STORE_UNAVAILABLE");
  EXPECT_EQ(Metadata(status, "durable_orders"), "0");
}

TEST_F(ImportOrdersTest, SaysHowManyAreStoredWhenTheDatabaseIsDamaged) {
  {
    const auto raw = sqlite::Database::Open(database_.path(), SqliteOrderSchema(), {});
    ASSERT_TRUE(raw.ok()) << raw.status();
    const absl::Status damaged =
        (*raw)->Run("INSERT INTO orders (order_id, request_id, body) VALUES ('o2', 'r2', x'ff')");
    ASSERT_TRUE(damaged.ok()) << damaged;
  }
  Import import(*stub_);
  for (const char* id : {"r1", "r2", "r3"}) import.Send(NewRequest(id));
  const absl::Status status = import.AwaitEnd();
  EXPECT_EQ(CodeAndReason(status), "INTERNAL ORDER_REFUSED");
  EXPECT_EQ(Metadata(status, "durable_orders"), "1");
  EXPECT_EQ(status.message(), "internal error");
}

TEST_F(ImportOrdersTest, StopsAtAnOrderWhosePlacingThrows) {
  std::atomic<int> stored = 0;
  std::promise<absl::Status> reported;
  OrdersUnderTest throwing(
      database_, inventory_,
      {.on_failure = [&](const absl::Status& failure) { reported.set_value(failure); },
       .on_stored =
           [&] {
             if (++stored == 2) throw std::out_of_range("map::at");
           }});
  const auto stub = throwing.NewStub();
  Import import(*stub);
  for (const char* id : {"r1", "r2", "r3"}) import.Send(NewRequest(id));
  const absl::Status status = import.End();
  EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE OUTCOME_UNKNOWN");
  EXPECT_TRUE(SaysWhenToRetry(status));
  EXPECT_EQ(Metadata(status, "durable_orders"), "1");
  EXPECT_THAT(reported.get_future().get().ToString(), HasSubstr("map::at"));
  EXPECT_THAT(Stored(), ElementsAre("r1", "r2"));
}

TEST_F(ImportOrdersTest, SaysGoodbyeBetweenTwoOrders) {
  Import import(*stub_);
  import.Send(NewRequest("r1"));
  ASSERT_TRUE(testkit::Eventually([this] { return !Stored().empty(); }));
  orders_.Drain();
  ExpectGoodbye(import.AwaitEnd(), 1);
}

TEST_F(ImportOrdersTest, SaysGoodbyeAfterStoringTheCurrentOrder) {
  Import import(*stub_);
  import.Send(NewRequest("r1"));
  ASSERT_TRUE(testkit::Eventually([this] { return !Stored().empty(); }));
  inventory_.Hold();
  import.Send(NewRequest("r2"));
  ASSERT_TRUE(inventory_.AwaitReserves(2));
  import.Send(NewRequest("r3"));
  orders_.Drain();
  auto end = std::async(std::launch::async, [&] { return import.AwaitEnd(); });
  EXPECT_EQ(end.wait_for(std::chrono::milliseconds(20)), std::future_status::timeout);
  inventory_.Release();
  ExpectGoodbye(end.get(), 2);
  EXPECT_THAT(Stored(), ElementsAre("r1", "r2"));
}

TEST_F(ImportOrdersTest, ReportsARefusedOrderDuringADrain) {
  Import import(*stub_);
  inventory_.Hold();
  import.Send(NewRequest("r1"));
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  orders_.Drain();
  inventory_.AnswerReserve({grpc::StatusCode::FAILED_PRECONDITION, "no tea"});
  inventory_.Release();
  const absl::Status status = import.AwaitEnd();
  EXPECT_EQ(CodeAndReason(status), "FAILED_PRECONDITION OUT_OF_STOCK");
  EXPECT_EQ(Metadata(status, "durable_orders"), "0");
}

TEST_F(ImportOrdersTest, DuringADrainSaysGoodbyeAtOnce) {
  orders_.Drain();
  Import import(*stub_);
  import.Send(NewRequest("r1"));
  ExpectGoodbye(import.AwaitEnd(), 0);
  EXPECT_THAT(Stored(), IsEmpty());
}

TEST_F(ImportOrdersTest, StoresEveryOrderOnceAcrossADrain) {
  constexpr int kOrders = 300;
  OrdersUnderTest next(database_, inventory_);
  const auto next_stub = next.NewStub();
  std::promise<void> drained;
  auto sent = std::async(std::launch::async, [&] {
    Import import(*stub_);
    for (int i = 0; i < kOrders && import.Send(NewRequest("r" + std::to_string(i))); ++i) {
      if (i == kOrders / 2) drained.get_future().wait();
    }
    const absl::Status status = import.End();
    EXPECT_EQ(CodeAndReason(status), "UNAVAILABLE SERVER_DRAINING");
    const int durable = std::stoi(Metadata(status, "durable_orders"));
    EXPECT_EQ(Stored().size(), static_cast<std::size_t>(durable));
    Import rest(*next_stub);
    for (int i = durable; i < kOrders; ++i) rest.Send(NewRequest("r" + std::to_string(i)));
    EXPECT_TRUE(rest.End().ok());
    return durable + rest.durable_orders();
  });
  EXPECT_TRUE(testkit::Eventually([this] { return Stored().size() > 20; }));
  orders_.Drain();
  drained.set_value();
  EXPECT_EQ(sent.get(), kOrders);
  EXPECT_EQ(Stored().size(), static_cast<std::size_t>(kOrders));
}

TEST_F(ImportOrdersTest, StoresNothingOnceItsCallerHasLeft) {
  inventory_.Hold();
  Import import(*stub_);
  import.Send(NewRequest("r1"));
  ASSERT_TRUE(inventory_.AwaitReserves(1));
  import.Cancel();
  EXPECT_TRUE(absl::IsCancelled(import.AwaitEnd()));
  EXPECT_TRUE(inventory_.AwaitCancelled(1));
  EXPECT_THAT(Stored(), IsEmpty());
}

// The call ends on a pool's thread, on gRPC's, or on the drain's.
TEST_F(ImportOrdersTest, MayEndInAnyWayAtAnyMoment) {
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([this, caller] {
      const auto stub = orders_.NewStub();
      for (int i = 0; i < 50; ++i) {
        Import import(*stub);
        import.Send(NewRequest("r" + std::to_string(caller), "tea", 1 + i % 2));
        if (i % 3 == 0) import.Cancel();
        import.End().IgnoreError();
      }
    });
  }
  ASSERT_TRUE(testkit::Eventually([this] { return Stored().size() > 2; }));
  orders_.Drain();
}

}  // namespace
}  // namespace orders
