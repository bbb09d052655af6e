#include "service/orders/stored_order.h"

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"

namespace orders {
namespace {

void AddItem(v1::PlaceOrderRequest& request, const std::string& sku, std::int64_t quantity) {
  v1::OrderItem& item = *request.add_items();
  item.set_sku(sku);
  item.set_quantity(quantity);
}

v1::PlaceOrderRequest Request() {
  v1::PlaceOrderRequest request;
  request.set_customer("c");
  AddItem(request, "tea", 1);
  return request;
}

v1::Order OrderOf(const v1::PlaceOrderRequest& request) {
  v1::Order order;
  order.set_order_id("o");
  order.set_request_id(request.request_id());
  order.set_customer(request.customer());
  *order.mutable_items() = request.items();
  order.set_state(v1::ORDER_STATE_CONFIRMED);
  return order;
}

TEST(SameContent, OfARetryIsSame) { EXPECT_TRUE(SameContent(Request(), OrderOf(Request()))); }

TEST(SameContent, TakesItemsInAnyOrder) {
  v1::PlaceOrderRequest request = Request();
  AddItem(request, "milk", 2);
  const v1::Order order = OrderOf(request);
  request.mutable_items()->SwapElements(0, 1);
  EXPECT_TRUE(SameContent(request, order));
}

TEST(SameContent, IsAnotherWhenAnythingDiffers) {
  const v1::Order order = OrderOf(Request());
  v1::PlaceOrderRequest request = Request();
  request.set_customer("d");
  EXPECT_FALSE(SameContent(request, order));
  request = Request();
  request.mutable_items(0)->set_sku("milk");
  EXPECT_FALSE(SameContent(request, order));
  request = Request();
  request.mutable_items(0)->set_quantity(2);
  EXPECT_FALSE(SameContent(request, order));
  request = Request();
  AddItem(request, "milk", 1);
  EXPECT_FALSE(SameContent(request, order));
}

TEST(AnswerTo, TellsWhoWantsTheSameWhatIsStored) {
  for (const bool created : {true, false}) {
    const auto placed = AnswerTo(OrderOf(Request()), {OrderOf(Request()), created});
    ASSERT_TRUE(placed.ok()) << placed.status();
    EXPECT_EQ(placed->order.order_id(), "o");
    EXPECT_EQ(placed->created, created);
  }
}

TEST(AnswerTo, RefusesWhoWantsAnother) {
  v1::PlaceOrderRequest request = Request();
  request.set_customer("d");
  EXPECT_TRUE(
      absl::IsAlreadyExists(AnswerTo(OrderOf(request), {OrderOf(Request()), false}).status()));
}

}  // namespace
}  // namespace orders
