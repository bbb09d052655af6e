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

}  // namespace client
