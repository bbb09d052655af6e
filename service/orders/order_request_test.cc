#include "service/orders/order_request.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/testing/status_details.h"

namespace orders {
namespace {

using ::testing::ElementsAre;

v1::PlaceOrderRequest GoodRequest() {
  v1::PlaceOrderRequest request;
  request.set_request_id("r");
  request.set_customer("c");
  v1::OrderItem& item = *request.add_items();
  item.set_sku("tea");
  item.set_quantity(1);
  return request;
}

void AddItem(v1::PlaceOrderRequest& request, const std::string& sku, std::int64_t quantity) {
  v1::OrderItem& item = *request.add_items();
  item.set_sku(sku);
  item.set_quantity(quantity);
}

TEST(Validate, TakesARequestAtEveryLimit) {
  EXPECT_TRUE(Validate(GoodRequest()).ok());
  v1::PlaceOrderRequest largest;
  largest.set_request_id(std::string(64, 'r'));
  largest.set_customer(std::string(128, 'c'));
  for (int i = 100; i < 200; ++i)
    AddItem(largest, std::string(61, 's') + std::to_string(i), 1000000);
  EXPECT_TRUE(Validate(largest).ok()) << Validate(largest);
}

TEST(Validate, NamesTheFieldThatIsWrong) {
  const std::vector<std::pair<std::string, std::function<void(v1::PlaceOrderRequest&)>>> mistakes =
      {
          {"request_id", [](auto& request) { request.clear_request_id(); }},
          {"request_id", [](auto& request) { request.set_request_id(std::string(65, 'r')); }},
          {"request_id", [](auto& request) { request.set_request_id(std::string("r\0", 2)); }},
          {"customer", [](auto& request) { request.clear_customer(); }},
          {"customer", [](auto& request) { request.set_customer(std::string(129, 'c')); }},
          {"items", [](auto& request) { request.clear_items(); }},
          {"items",
           [](auto& request) {
             for (int i = 0; i < 100; ++i) AddItem(request, std::to_string(i), 1);
           }},
          {"items[0].sku", [](auto& request) { request.mutable_items(0)->clear_sku(); }},
          {"items[1].sku", [](auto& request) { AddItem(request, std::string(65, 's'), 1); }},
          {"items[1].sku", [](auto& request) { AddItem(request, "tea", 1); }},
          {"items[0].quantity", [](auto& request) { request.mutable_items(0)->set_quantity(0); }},
          {"items[0].quantity", [](auto& request) { request.mutable_items(0)->set_quantity(-1); }},
          {"items[1].quantity", [](auto& request) { AddItem(request, "milk", 1000001); }},
      };
  for (const auto& [field, mistake] : mistakes) {
    v1::PlaceOrderRequest request = GoodRequest();
    mistake(request);
    const absl::Status status = Validate(request);
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << field;
    EXPECT_THAT(WrongFields(status), ElementsAre(field));
  }
}

TEST(Validate, CountsCharactersAndNotBytes) {
  const auto euros = [](int count) {
    std::string text;
    for (int i = 0; i < count; ++i) text += "\xE2\x82\xAC";
    return text;
  };
  v1::PlaceOrderRequest request = GoodRequest();
  request.set_request_id(euros(64));
  request.set_customer(euros(128));
  request.mutable_items(0)->set_sku(euros(64));
  EXPECT_TRUE(Validate(request).ok()) << Validate(request);
  request.set_request_id(euros(65));
  request.set_customer(euros(129));
  request.mutable_items(0)->set_sku(euros(65));
  EXPECT_THAT(WrongFields(Validate(request)),
              ElementsAre("request_id", "customer", "items[0].sku"));
}

TEST(Validate, NamesEverythingThatIsWrongAtOnce) {
  v1::PlaceOrderRequest request;
  AddItem(request, "", 0);
  EXPECT_THAT(WrongFields(Validate(request)),
              ElementsAre("request_id", "customer", "items[0].sku", "items[0].quantity"));
}

}  // namespace
}  // namespace orders
