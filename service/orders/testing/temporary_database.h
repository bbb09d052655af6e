#ifndef SERVICE_ORDERS_TESTING_TEMPORARY_DATABASE_H_
#define SERVICE_ORDERS_TESTING_TEMPORARY_DATABASE_H_

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "gtest/gtest.h"
#include "service/orders/order_store.h"
#include "service/orders/sqlite_order_store.h"
#include "tests/common/eventually.h"
#include "tests/common/temp_dir.h"

namespace orders {

using testkit::Soon;

// A SQLite file in a directory of its own, gone when the object is.
class TemporaryDatabase {
 public:
  TemporaryDatabase() {}  // Not "= default": clang 14 would call a constant one uninitialized.

  // Each one is what another process would open.
  std::unique_ptr<OrderStore> Open() const {
    auto store = SqliteOrderStore::Open(path());
    if (!store.ok()) {
      ADD_FAILURE() << store.status();
      std::abort();
    }
    return *std::move(store);
  }

  std::string path() const { return directory_.File("orders.sqlite3"); }

 private:
  // In memory where there is such a place: tests commit often, and a busy disk takes its time
  // for each.
  const testkit::TempDir directory_{"/dev/shm"};
};

inline v1::PlaceOrderRequest NewRequest(const std::string& request_id,
                                        const std::string& sku = "tea", int quantity = 1) {
  v1::PlaceOrderRequest request;
  request.set_request_id(request_id);
  request.set_customer("Ada");
  v1::OrderItem& item = *request.add_items();
  item.set_sku(sku);
  item.set_quantity(quantity);
  return request;
}

// Stores an order as another replica would.
inline void PlaceIn(OrderStore& store, const v1::Order& order) {
  const auto placed = store.Place({order, "order/" + order.request_id()}, Soon());
  EXPECT_TRUE(placed.ok()) << placed.status();
}

// The same with an id that is "order of " and `request_id`.
inline void PlaceIn(OrderStore& store, const std::string& request_id,
                    const std::string& sku = "tea", int quantity = 1) {
  const v1::PlaceOrderRequest request = NewRequest(request_id, sku, quantity);
  v1::Order order;
  order.set_order_id("order of " + request_id);
  order.set_request_id(request_id);
  order.set_customer(request.customer());
  *order.mutable_items() = request.items();
  PlaceIn(store, order);
}

}  // namespace orders

#endif  // SERVICE_ORDERS_TESTING_TEMPORARY_DATABASE_H_
