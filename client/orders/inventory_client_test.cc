#include "client/orders/inventory_client.h"

#include <string>
#include <vector>

#include "client/error_details.h"
#include "client/orders/testing/fake_shop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using inventory::v1::GetStockRequest;
using inventory::v1::GetStockResponse;

class InventoryClientTest : public testing::Test {
 protected:
  std::unique_ptr<InventoryClient> Connect() {
    ClientOptions options;
    options.timeout = std::chrono::seconds(60);
    auto client = InventoryClient::Create(server_.address(), options);
    EXPECT_TRUE(client.ok()) << client.status();
    return *std::move(client);
  }

  FakeShop server_;
};

TEST_F(InventoryClientTest, ReturnsTheStockOfTheRequestedSkus) {
  server_.inventory.get_stock.Then([](const GetStockRequest& request, GetStockResponse& response) {
    for (const auto& sku : request.skus()) response.add_stock()->set_sku(sku);
    return grpc::Status::OK;
  });
  const auto stock = Connect()->GetStock({"apple", "pear"});
  ASSERT_TRUE(stock.ok()) << stock.status();
  ASSERT_EQ(stock->size(), 2u);
  EXPECT_EQ((*stock)[1].sku(), "pear");
}

TEST_F(InventoryClientTest, IsRepeatedWhenTheServerIsUnavailable) {
  server_.inventory.get_stock
      .Then([](const GetStockRequest&, GetStockResponse&) {
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "");
      })
      .Then([](const GetStockRequest&, GetStockResponse&) { return grpc::Status::OK; });
  EXPECT_TRUE(Connect()->GetStock({}).ok());
}

TEST_F(InventoryClientTest, AnErrorKeepsItsDetails) {
  server_.inventory.get_stock.Then([](const GetStockRequest&, GetStockResponse&) {
    return Refusal(grpc::StatusCode::NOT_FOUND, "no such SKU", "UNKNOWN_SKU");
  });
  EXPECT_EQ(ErrorReason(Connect()->GetStock({"plum"}).status()), "UNKNOWN_SKU");
}

}  // namespace
}  // namespace client
