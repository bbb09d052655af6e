#include "service/orders/fnv1a.h"

#include "gtest/gtest.h"

namespace orders {
namespace {

TEST(Fnv1a, GivesTheNumbersThatEverybodyGives) {
  EXPECT_EQ(Fnv1a(""), 0xcbf29ce484222325u);
  EXPECT_EQ(Fnv1a("a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(Fnv1a("foobar"), 0x85944171f73967e8u);
  EXPECT_EQ(Fnv1a("\xff"), (0xcbf29ce484222325u ^ 0xffu) * 0x100000001b3u);
}

}  // namespace
}  // namespace orders
