#include "service/orders/demo/buyers.h"

#include <chrono>
#include <latch>
#include <memory>

#include "client/orders/testing/fake_shop.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace demo {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

// Longer than a test: each buyer places one order.
constexpr std::chrono::hours kOnce{1};

class BuyersTest : public ::testing::Test {
 protected:
  // What the shop does to every one of `count` calls.
  void Answer(int count, const grpc::Status& status) {
    for (int i = 0; i < count; ++i) {
      shop_.orders.place.Then([this, status](const auto&, orders::v1::Order& order) {
        order = client::MakeOrder("o-1", orders::v1::ORDER_STATE_PLACED);
        called_.count_down();
        return status;
      });
    }
  }

  client::FakeShop shop_;
  std::unique_ptr<client::OrdersClient> client_ = *client::OrdersClient::Create(shop_.address());
  std::latch called_{2};
};

TEST_F(BuyersTest, ARefusedCallIsNoAnswer) {
  Answer(2, grpc::Status(grpc::StatusCode::FAILED_PRECONDITION, "sold out"));
  Buyers buyers(*client_, 2, {"apple"}, kOnce);
  called_.wait();
  buyers.Stop();
  EXPECT_EQ(buyers.answered(), 0);
  for (const Buyers::Answers& each : buyers.answers()) EXPECT_EQ(each.count, 0);
  EXPECT_EQ(buyers.slowest().count(), 0);
  EXPECT_THAT(buyers.acknowledged(), IsEmpty());
  EXPECT_THAT(buyers.failures(), SizeIs(2));
}

TEST_F(BuyersTest, AnswersAreCountedForEachBuyer) {
  Answer(2, grpc::Status::OK);
  Buyers buyers(*client_, 2, {"apple"}, kOnce);
  called_.wait();
  buyers.Stop();
  EXPECT_EQ(buyers.answered(), 2);
  ASSERT_THAT(buyers.answers(), SizeIs(2));
  for (const Buyers::Answers& each : buyers.answers()) {
    EXPECT_EQ(each.count, 1);
    EXPECT_EQ(each.last_order_id, "o-1");
  }
  EXPECT_THAT(buyers.failures(), IsEmpty());
}

}  // namespace
}  // namespace demo
