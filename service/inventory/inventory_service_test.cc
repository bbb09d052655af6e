#include "service/inventory/inventory_service.h"

#include <chrono>
#include <cstdint>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/rpc/error_details.pb.h"
#include "grpcpp/grpcpp.h"
#include "gtest/gtest.h"
#include "service/inventory/stock_store.h"
#include "service/rpc/blocking_pool.h"
#include "service/rpc/handler_guard.h"
#include "service/rpc/status.h"
#include "service/rpc/testing/callers.h"
#include "service/rpc/testing/status_details.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace inventory {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;
using ::testing::UnorderedElementsAre;

// "FAILED_PRECONDITION OUT_OF_STOCK"
std::string Refusal(const grpc::Status& status) {
  return rpc::CodeAndReason(rpc::FromGrpc(status), "inventory.v1");
}

std::vector<std::string> WrongFields(const grpc::Status& status) {
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  return rpc::WrongFields(rpc::FromGrpc(status));
}

auto Metadata(const grpc::Status& status) {
  return rpc::DetailOf<google::rpc::ErrorInfo>(rpc::FromGrpc(status)).metadata();
}

v1::ReserveRequest MakeReserve(const std::string& id, const StockStore::Quantities& items) {
  v1::ReserveRequest request;
  request.set_reservation_id(id);
  for (const auto& [sku, quantity] : items) {
    v1::ReservationItem& item = *request.add_items();
    item.set_sku(sku);
    item.set_quantity(quantity);
  }
  return request;
}

// Occupies the pool's only thread.
class Occupied {
 public:
  explicit Occupied(rpc::BlockingPool& pool) {
    std::promise<void> started;
    EXPECT_TRUE(pool.Run([&started, let_go = let_go_.get_future().share()] {
      started.set_value();
      let_go.wait();
    }));
    started.get_future().wait();
  }
  ~Occupied() { let_go_.set_value(); }

 private:
  std::promise<void> let_go_;
};

class InventoryServiceTest : public ::testing::Test {
 protected:
  InventoryServiceTest() {
    store_ = *StockStore::Open(directory_.File("inventory.sqlite3"));
    EXPECT_TRUE(store_->Seed({{"apple", 10}, {"pear", 5}}, testkit::Soon()).ok());
    pool_.emplace(/*threads=*/1, /*capacity=*/1);
    Serve(std::chrono::milliseconds(0));
  }
  ~InventoryServiceTest() override {
    StopServing();
    pool_.reset();
    store_.reset();
  }

  void Serve(std::chrono::milliseconds latency) {
    StopServing();
    service_.emplace(*store_, *pool_, latency);
    guard_.emplace([] { return false; }, [](const std::string&) {});
    guard_->Install(*service_);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&*service_);
    server_ = builder.BuildAndStart();
    stub_ = v1::InventoryService::NewStub(rpc::NewConnection(absl::StrCat("127.0.0.1:", port)));
  }

  void StopServing() {
    if (server_ == nullptr) return;
    stub_.reset();
    server_->Shutdown();
    server_.reset();
  }

  grpc::Status Reserve(const v1::ReserveRequest& request) {
    v1::ReserveResponse response;
    return Reserve(request, response);
  }
  grpc::Status Reserve(const v1::ReserveRequest& request, v1::ReserveResponse& response) {
    grpc::ClientContext context;
    return stub_->Reserve(&context, request, &response);
  }
  grpc::Status Confirm(const std::string& id) {
    grpc::ClientContext context;
    v1::ConfirmRequest request;
    v1::ConfirmResponse response;
    request.set_reservation_id(id);
    return stub_->Confirm(&context, request, &response);
  }
  grpc::Status Release(const std::string& id) {
    grpc::ClientContext context;
    v1::ReleaseRequest request;
    v1::ReleaseResponse response;
    request.set_reservation_id(id);
    return stub_->Release(&context, request, &response);
  }
  grpc::Status CancelSale(const std::string& id) {
    grpc::ClientContext context;
    v1::ReleaseRequest request;
    v1::ReleaseResponse response;
    request.set_reservation_id(id);
    request.set_even_confirmed(true);
    return stub_->Release(&context, request, &response);
  }
  grpc::Status GetStock(const std::vector<std::string>& skus, v1::GetStockResponse* response) {
    grpc::ClientContext context;
    v1::GetStockRequest request;
    request.mutable_skus()->Assign(skus.begin(), skus.end());
    return stub_->GetStock(&context, request, response);
  }
  // "10 = 7 + 2 + 1": initial = available + reserved + confirmed.
  std::string Apples() {
    v1::GetStockResponse response;
    EXPECT_TRUE(GetStock({"apple"}, &response).ok());
    const v1::Stock& stock = response.stock(0);
    return absl::StrCat(stock.initial(), " = ", stock.available(), " + ", stock.reserved(), " + ",
                        stock.confirmed());
  }

  const testkit::TempDir directory_;
  std::unique_ptr<StockStore> store_;
  std::optional<rpc::BlockingPool> pool_;
  std::optional<InventoryService> service_;
  std::optional<rpc::HandlerGuard> guard_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<v1::InventoryService::Stub> stub_;
};

TEST_F(InventoryServiceTest, ReservesConfirmsAndReleases) {
  EXPECT_TRUE(Reserve(MakeReserve("sold", {{"apple", 1}})).ok());
  EXPECT_TRUE(Reserve(MakeReserve("kept", {{"apple", 2}})).ok());
  EXPECT_TRUE(Reserve(MakeReserve("released", {{"apple", 4}})).ok());
  EXPECT_TRUE(Confirm("sold").ok());
  EXPECT_TRUE(Release("released").ok());
  EXPECT_EQ(Apples(), "10 = 7 + 2 + 1");
}

TEST_F(InventoryServiceTest, RenewsAReservationThatIsAskedForAgain) {
  v1::ReserveRequest request = MakeReserve("r", {{"apple", 1}});
  request.mutable_ttl()->set_seconds(60);
  v1::ReserveResponse first;
  ASSERT_TRUE(Reserve(request, first).ok());
  EXPECT_GT(first.expire_time().seconds(), 1'700'000'000);
  request.mutable_ttl()->set_seconds(600);
  v1::ReserveResponse second;
  ASSERT_TRUE(Reserve(request, second).ok());
  EXPECT_GE(second.expire_time().seconds(), first.expire_time().seconds() + 500);
  ASSERT_TRUE(Confirm("r").ok());
  v1::ReserveResponse never;
  ASSERT_TRUE(Reserve(request, never).ok());
  EXPECT_FALSE(never.has_expire_time());
}

TEST_F(InventoryServiceTest, TakesASaleBackOnlyWhenToldSo) {
  ASSERT_TRUE(Reserve(MakeReserve("r", {{"apple", 1}})).ok());
  ASSERT_TRUE(Confirm("r").ok());
  EXPECT_EQ(Refusal(Release("r")), "FAILED_PRECONDITION RESERVATION_CONFIRMED");
  EXPECT_TRUE(CancelSale("r").ok());
  EXPECT_EQ(Apples(), "10 = 10 + 0 + 0");
}

TEST_F(InventoryServiceTest, TellsTheStockOfAllSkusByDefault) {
  v1::GetStockResponse response;
  ASSERT_TRUE(GetStock({}, &response).ok());
  ASSERT_EQ(response.stock_size(), 2);
  EXPECT_EQ(response.stock(0).sku(), "apple");
  EXPECT_EQ(response.stock(1).sku(), "pear");
}

TEST_F(InventoryServiceTest, TellsNoStockOfWhatIsNoSku) {
  v1::GetStockResponse response;
  const grpc::Status unknown = GetStock({"apple", std::string(64, 'x')}, &response);
  EXPECT_EQ(unknown.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(Metadata(unknown), UnorderedElementsAre(Pair("sku", std::string(64, 'x'))));
  // So long that an ErrorInfo could not name it.
  EXPECT_THAT(WrongFields(GetStock({"apple", std::string(3000, 'x'), ""}, &response)),
              ElementsAre("skus[1]", "skus[2]"));
}

TEST_F(InventoryServiceTest, SendsReasonAndDetailsWithARefusal) {
  const grpc::Status status = Reserve(MakeReserve("r", {{"pear", 6}}));
  EXPECT_EQ(Refusal(status), "FAILED_PRECONDITION OUT_OF_STOCK");
  EXPECT_EQ(status.error_message(), "only 5 of pear are left");
  EXPECT_THAT(Metadata(status), UnorderedElementsAre(Pair("sku", "pear"), Pair("available", "5")));
}

TEST_F(InventoryServiceTest, NamesEveryWrongFieldOfAReserve) {
  v1::ReserveRequest request = MakeReserve(std::string(129, 'x'), {{"", 1}, {"apple", 0}});
  *request.add_items() = request.items(1);
  request.mutable_items(2)->set_quantity(1'000'001);
  request.mutable_ttl()->set_seconds(0);
  EXPECT_THAT(WrongFields(Reserve(request)),
              ElementsAre("reservation_id", "items[0].sku", "items[1].quantity", "items[2].sku",
                          "items[2].quantity", "ttl"));
}

TEST_F(InventoryServiceTest, RefusesNoItemsAndTooManyItems) {
  EXPECT_THAT(WrongFields(Reserve(MakeReserve("r", {}))), ElementsAre("items"));
  StockStore::Quantities many;
  for (int i = 0; i < 101; ++i) many[absl::StrCat("sku-", i)] = 1;
  EXPECT_THAT(WrongFields(Reserve(MakeReserve("r", many))), ElementsAre("items"));
}

TEST_F(InventoryServiceTest, AllowsATtlOfUpToADay) {
  v1::ReserveRequest request = MakeReserve("r", {{"apple", 1}});
  for (const std::int64_t seconds :
       {std::int64_t{-1}, std::int64_t{86'401}, INT64_MAX, INT64_MIN}) {
    request.mutable_ttl()->set_seconds(seconds);
    EXPECT_THAT(WrongFields(Reserve(request)), ElementsAre("ttl")) << seconds;
  }
  request.mutable_ttl()->set_seconds(86'400);
  EXPECT_TRUE(Reserve(request).ok());
}

TEST_F(InventoryServiceTest, RefusesWhatIsNoReservationId) {
  for (const std::string& id : {std::string(), std::string(129, 'x'), std::string("r\0", 2)}) {
    EXPECT_THAT(WrongFields(Confirm(id)), ElementsAre("reservation_id"));
    EXPECT_THAT(WrongFields(Release(id)), ElementsAre("reservation_id"));
  }
}

TEST_F(InventoryServiceTest, RefusesCallsWhenTooManyAwaitTheDatabase) {
  const Occupied occupied(*pool_);
  ASSERT_TRUE(pool_->Run([] {}));  // Now nothing more may wait.
  const grpc::Status status = Confirm("r");
  EXPECT_EQ(Refusal(status), "RESOURCE_EXHAUSTED OVERLOADED");
  EXPECT_TRUE(rpc::SaysWhenToRetry(rpc::FromGrpc(status)));
}

TEST_F(InventoryServiceTest, IsUnavailableWhenTheDatabaseIsClosed) {
  ASSERT_TRUE(store_->Close(testkit::Soon()).ok());
  EXPECT_EQ(Refusal(Confirm("r")), "UNAVAILABLE STORE_UNAVAILABLE");
}

TEST_F(InventoryServiceTest, ReservesAfterItsLatency) {
  constexpr std::chrono::milliseconds kLatency(20);
  Serve(kLatency);
  const auto before = std::chrono::steady_clock::now();
  EXPECT_TRUE(Reserve(MakeReserve("r", {{"apple", 1}})).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - before, kLatency);
  EXPECT_EQ(Apples(), "10 = 9 + 1 + 0");
}

TEST_F(InventoryServiceTest, IsTheSameServiceAfterItsLatency) {
  Serve(std::chrono::milliseconds(1));
  const Occupied occupied(*pool_);
  ASSERT_TRUE(pool_->Run([] {}));  // Now nothing more may wait.
  EXPECT_EQ(Refusal(Reserve(MakeReserve("r", {{"apple", 1}}))), "RESOURCE_EXHAUSTED OVERLOADED");
}

TEST_F(InventoryServiceTest, BlocksNoThreadOfGrpcsDuringTheLatency) {
  Serve(std::chrono::hours(1));
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::future<grpc::Status>> answers;
  const v1::ReserveRequest request = MakeReserve("r", {{"apple", 1}});
  std::vector<v1::ReserveResponse> responses(50);
  for (v1::ReserveResponse& response : responses) {
    grpc::ClientContext& context = *contexts.emplace_back(std::make_unique<grpc::ClientContext>());
    auto answer = std::make_shared<std::promise<grpc::Status>>();
    answers.push_back(answer->get_future());
    stub_->async()->Reserve(&context, &request, &response,
                            [answer](grpc::Status status) { answer->set_value(status); });
  }
  EXPECT_EQ(Apples(), "10 = 10 + 0 + 0") << "while 50 callers wait";
  for (const auto& context : contexts) context->TryCancel();
  for (auto& answer : answers) {
    EXPECT_EQ(answer.get().error_code(), grpc::StatusCode::CANCELLED);
  }
  // Returns only when no call waits any more.
  StopServing();
}

TEST_F(InventoryServiceTest, ReservesNothingForACallerThatHasGone) {
  Serve(std::chrono::hours(1));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(50));
  v1::ReserveResponse response;
  const grpc::Status status = stub_->Reserve(&context, MakeReserve("r", {{"apple", 1}}), &response);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  StopServing();
  Serve(std::chrono::milliseconds(0));
  EXPECT_EQ(Apples(), "10 = 10 + 0 + 0");
}

}  // namespace
}  // namespace inventory
