#include "service/postgres/url.h"

#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace postgres {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

TEST(Url, IsRecognisedByItsScheme) {
  EXPECT_TRUE(Url::Is("postgresql://db"));
  EXPECT_TRUE(Url::Is("postgres://db"));
  EXPECT_FALSE(Url::Is("orders.sqlite3"));
  EXPECT_FALSE(Url::Is("host=db"));
}

TEST(Url, DescribesTheServerWithoutThePassword) {
  const auto url = Url::Parse("postgresql://ada:s3cret@db.example:5433/orders?sslmode=require");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->description(), "postgresql://ada@db.example:5433/orders");
}

TEST(Url, HandsEveryParameterOn) {
  const auto url = Url::Parse("postgres://db/orders?sslmode=verify-full&sslrootcert=ca.pem");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_THAT(url->parameters(), Contains(Pair("sslmode", "verify-full")));
  EXPECT_THAT(url->parameters(), Contains(Pair("sslrootcert", "ca.pem")));
}

TEST(Url, HidesItsSecretsInWhateverOthersSay) {
  const auto url = Url::Parse("postgresql://ada@db/orders?password=p%40ss&sslpassword=k3y");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->Hide("a p@ss, and p@ss again, with k3y"), "a ***, and *** again, with ***");
}

TEST(Url, HidesASecretThatIsAPartOfAnotherOne) {
  const auto url = Url::Parse("postgresql://ada@db/orders?password=s3c&sslpassword=s3cret");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_EQ(url->Hide("s3cret and s3c"), "*** and ***");
}

TEST(Url, HandsOnAPasswordWithAQuestionMark) {
  const auto url = Url::Parse("postgresql://ada:s3c?r#t@db:5432/orders");
  ASSERT_TRUE(url.ok()) << url.status();
  EXPECT_THAT(url->parameters(), Contains(Pair("password", "s3c?r#t")));
  EXPECT_EQ(url->description(), "postgresql://ada@db:5432/orders");
}

// libpq would take a part of the password for the host, the port or the database, which are shown.
TEST(Url, RefusesAPasswordThatIsCutByItsOwnCharacters) {
  for (const char* text :
       {"postgresql://ada:s3/cret@db/orders", "postgresql://ada:12/cret@db/orders",
        "postgresql://ada:12/s3@cret@db/orders", "postgresql://ada:s3@cret@db/orders",
        "postgresql://ada@corp:cret@db/orders", "postgresql://ada:cret/orders"}) {
    const auto url = Url::Parse(text);
    ASSERT_TRUE(absl::IsInvalidArgument(url.status())) << url->description();
    EXPECT_THAT(std::string(url.status().message()), Not(HasSubstr("cret")));
  }
}

TEST(Url, MayNameSeveralHostsAndADatabaseWithSpecialCharacters) {
  for (const char* text :
       {"postgresql://a:1,b:2/orders", "postgresql://ada@/or%40ders?host=/run/pg&port=5433",
        "postgresql://%2Frun%2Fpg/orders?application_name=a@b", "postgresql://ada@[::1]:5432"}) {
    EXPECT_TRUE(Url::Parse(text).ok()) << text;
  }
}

TEST(Url, RepeatsNothingOfUnreadableText) {
  for (const char* text :
       {"postgresql://ada:s3cret%zz@db/orders", "postgresql://ada:s3cret@db:1/o?x=y",
        "postgresql://ada:s3cret@[db/orders", "host=db password=s3cret"}) {
    const absl::Status status = Url::Parse(text).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr("s3cret")));
  }
}

}  // namespace
}  // namespace postgres
