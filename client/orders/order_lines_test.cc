#include "client/orders/order_lines.h"

#include <sstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace client {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::StartsWith;

absl::StatusOr<std::vector<OrderLine>> Read(const std::string& text) {
  std::istringstream in(text);
  return ReadOrderLines(in);
}

TEST(OrderLinesTest, EachLineIsAnOrder) {
  const auto lines = Read(
      "{\"customer\": \"ann\", \"items\": [{\"sku\": \"apple\", \"quantity\": 2}]}\n"
      "\n"
      "  {\"request_id\": \"r\", \"customer\": \"bob\"} \r\n"
      "{\"requestId\": \"s\"}");
  ASSERT_TRUE(lines.ok()) << lines.status();
  ASSERT_THAT(*lines, SizeIs(3));
  EXPECT_EQ((*lines)[0].number, 1);
  EXPECT_EQ((*lines)[0].order.items(0).quantity(), 2);
  EXPECT_EQ((*lines)[1].number, 3);
  EXPECT_EQ((*lines)[1].order.request_id(), "r");
  EXPECT_EQ((*lines)[2].number, 4);
  EXPECT_EQ((*lines)[2].order.request_id(), "s");
}

TEST(OrderLinesTest, NothingIsNoOrder) {
  EXPECT_THAT(*Read(""), IsEmpty());
  EXPECT_THAT(*Read("\n \n"), IsEmpty());
}

TEST(OrderLinesTest, AMalformedLineIsNamed) {
  for (const char* wrong : {"{\"customer\": ", "customer=ann", "{\"custmer\": \"ann\"}", "[]",
                            "{\"items\": [{\"quantity\": \"many\"}]}"}) {
    const auto lines = Read("{\"customer\": \"ann\"}\n" + std::string(wrong) + "\n");
    ASSERT_TRUE(absl::IsInvalidArgument(lines.status())) << wrong;
    const std::string message(lines.status().message());
    EXPECT_THAT(message, StartsWith("line 2: "));
    EXPECT_THAT(message, Not(HasSubstr("\n")));
    EXPECT_GT(message.size(), std::string("line 2: ").size());
  }
}

TEST(OrderLinesTest, WhatCannotBeReadIsAnError) {
  std::istringstream in;
  in.setstate(std::ios::badbit);
  EXPECT_TRUE(absl::IsInvalidArgument(ReadOrderLines(in).status()));
}

}  // namespace
}  // namespace client
