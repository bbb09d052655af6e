#ifndef SERVICE_ORDERS_TESTING_ORDER_STORE_CONTRACT_H_
#define SERVICE_ORDERS_TESTING_ORDER_STORE_CONTRACT_H_

#include <functional>
#include <memory>
#include <ostream>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "service/orders/order_store.h"

namespace orders {

// An empty database for one test. Each Open() does what another process would do.
class DatabaseUnderTest {
 public:
  // Everything opened is destroyed before this.
  virtual ~DatabaseUnderTest() = default;
  virtual absl::StatusOr<std::unique_ptr<OrderStore>> Open() = 0;
  // What an operator does with the database's own tool.
  virtual absl::Status RunSql(const std::string& sql) = 0;
};

// One kind of store, for
//
//   INSTANTIATE_TEST_SUITE_P(Sqlite, OrderStoreContract, ::testing::Values(...));
struct StoreKind {
  std::string name;
  std::function<std::unique_ptr<DatabaseUnderTest>()> make_database;
  // Gives a restored database another id; in docs/operations.md, word for word.
  std::string new_id_sql;
  // Afterwards the outbox looks as after the database's clock was set back by five minutes.
  std::string clock_set_back_sql;

  friend std::ostream& operator<<(std::ostream& out, const StoreKind& kind) {
    return out << kind.name;
  }
};

// What every OrderStore must do, whatever it stores orders in.
class OrderStoreContract : public ::testing::TestWithParam<StoreKind> {
 protected:
  // Null, with the test failed, when it cannot be opened.
  std::unique_ptr<OrderStore> Open();
  absl::Status RunSql(const std::string& sql) { return database_->RunSql(sql); }

 private:
  const std::unique_ptr<DatabaseUnderTest> database_ = GetParam().make_database();
};

}  // namespace orders

#endif  // SERVICE_ORDERS_TESTING_ORDER_STORE_CONTRACT_H_
