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

TEST(ShownValue, HidesAPasswordWithCharactersThatEndOtherParts) {
  EXPECT_EQ(ShownValue("postgresql://ada:s3c?ret@db:5432/orders"),
            "postgresql://ada:***@db:5432/orders");
  EXPECT_EQ(ShownValue("postgresql://ada:s3c#ret@db/orders"), "postgresql://ada:***@db/orders");
  EXPECT_EQ(ShownValue("postgresql://ada:s3c?ret@db/o?password=x&sslmode=require"),
            "postgresql://ada:***@db/o?password=***&sslmode=require");
  EXPECT_EQ(ShownValue("postgresql://ada:s3c?a=b&c?d@db/o"), "postgresql://ada:***@db/o");
  EXPECT_EQ(ShownValue("postgresql://ada:s3c?re=t@db/o"), "postgresql://ada:***");
  EXPECT_EQ(ShownValue("postgresql://ada@corp:s3c?re=t@db/o"), "postgresql://ada@corp:***");
  EXPECT_EQ(ShownValue("postgresql://ada:s3c?user=t@db/o?password=x"),
            "postgresql://ada:***@db/o?password=***");
}

TEST(ShownValue, HidesEveryParameterThatIsNotKnownToBeHarmless) {
  EXPECT_EQ(ShownValue("postgresql://db/o?password=ab#cd"), "postgresql://db/o?password=***");
  EXPECT_EQ(ShownValue("postgresql://db/o?password=ab?cd&port=1"),
            "postgresql://db/o?password=***&port=1");
  EXPECT_EQ(ShownValue("postgresql://db/o?pass%77ord=s3cret"), "postgresql://db/o?pass%77ord=***");
  EXPECT_EQ(ShownValue("postgresql://db/o?scram_client_key=s3cret&sslmode=require"),
            "postgresql://db/o?scram_client_key=***&sslmode=require");
  EXPECT_EQ(ShownValue("postgresql://db/o?password%3Ds3cret"), "postgresql://db/o?***");
  EXPECT_EQ(ShownValue("postgresql://ada@db:5432/o?password=s3c@ret"),
            "postgresql://ada@db:***");  // Rather too much.
}

TEST(ShownValue, HidesThePasswordOfWhatWasMeantToBeAUrl) {
  EXPECT_EQ(ShownValue("POSTGRESQL:/ada:s3cret@db/o"), "POSTGRESQL:/ada:***@db/o");
  EXPECT_EQ(ShownValue("host=db user=ada password = 's3 cret' port=5432"),
            "host=db user=ada password =***");
}

TEST(ShownValue, HidesAPasswordThatLooksLikeAUrl) {
  EXPECT_EQ(ShownValue("host=db password=s3://cret user=x"), "host=db password=***");
  EXPECT_EQ(ShownValue("host=db password=postgres://a:b@c"), "host=db password=***");
  EXPECT_EQ(ShownValue("postgres host=db password=s3:cret"), "postgres host=db password=***");
  EXPECT_EQ(ShownValue(" postgresql://ada:s3cret@db/o?password=x"),
            " postgresql://ada:***@db/o?password=***");
  EXPECT_EQ(ShownValue("orders=dns://ada:s3cret@db/o"), "orders=dns://ada:***@db/o");
}

TEST(ShownValue, LeavesEverythingElseAsItIs) {
  for (const char* value :
       {"orders.sqlite3", "127.0.0.1:0", "postgresql://ada@db:5432/orders",
        "postgresql://db:5432/o?options=-cx%3D1",
        "postgresql://[::1]:5432/o?application_name=a&connect_timeout=5", "postgresql://a:1,b:2/o?",
        "a:b@c", "dns:///db:1", "postgres.sqlite3", "password", ""}) {
    EXPECT_EQ(ShownValue(value), value);
  }
}

}  // namespace
}  // namespace config
