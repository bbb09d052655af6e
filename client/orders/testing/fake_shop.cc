#include "client/orders/testing/fake_shop.h"

namespace client {

orders::v1::Order MakeOrder(const std::string& order_id, orders::v1::OrderState state) {
  orders::v1::Order order;
  order.set_order_id(order_id);
  order.set_customer("ann");
  order.set_state(state);
  auto* item = order.add_items();
  item->set_sku("apple");
  item->set_quantity(2);
  order.mutable_create_time()->set_seconds(1700000000);
  return order;
}

void SendEvents(FakeOrders::Watch& writer, int from, int to, const std::string& prefix) {
  orders::v1::WatchOrdersResponse response;
  for (int i = from; i <= to; ++i) {
    orders::v1::WatchOrdersResponse::Event& event = *response.add_events();
    event.set_resume_token(std::to_string(i));
    *event.mutable_order() = MakeOrder(prefix + std::to_string(i), orders::v1::ORDER_STATE_PLACED);
    if (response.events_size() < 2 && i < to) continue;
    writer.Write(response);
    response.clear_events();
  }
}

}  // namespace client
