#include "service/config/shown_value.h"

#include "gtest/gtest.h"

namespace config {
namespace {

TEST(ShownValue, HidesThePasswordOfAUrl) {
  EXPECT_EQ(ShownValue("postgresql://ada:s3cret@db:5432/orders?sslmode=require"),
            "postgresql://ada:***@db:5432/orders?sslmode=require");
  EXPECT_EQ(ShownValue("postgresql://ada:s3/c@r:et@db/orders"), "postgresql://ada:***@db/orders");
  EXPECT_EQ(ShownValue("postgresql://db/o?user=a&password=s3cret&sslpassword=x&sslmode=require"),
            "postgresql://db/o?user=a&password=***&sslpassword=***&sslmode=require");
  EXPECT_EQ(ShownValue("postgresql://db/o?password=s3c@ret"), "postgresql://db/o?password=***");
}

TEST(ShownValue, LeavesEverythingElseAsItIs) {
  for (const char* value : {"orders.sqlite3", "127.0.0.1:0", "postgresql://ada@db:5432/orders",
                            "postgresql://db:5432/o?options=-cx%3D1", "a:b@c", ""}) {
    EXPECT_EQ(ShownValue(value), value);
  }
}

}  // namespace
}  // namespace config
