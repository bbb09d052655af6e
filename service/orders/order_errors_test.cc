#include "service/orders/order_errors.h"

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "service/orders/testing/logged_lines.h"

namespace orders {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(OrderErrorsTest, AnUnreachableStoreDoesNotFillTheLog) {
  const LoggedLines logged;
  for (int i = 0; i < 1000; ++i) {
    EXPECT_TRUE(absl::IsUnavailable(FromStore(absl::UnavailableError("no server"))));
  }
  EXPECT_THAT(logged.Get(),
              ElementsAre(AllOf(HasSubstr("the order store has failed"), HasSubstr("no server"))));
}

}  // namespace
}  // namespace orders
