#include "service/rpc/channelz/channelz_json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "grpc/support/string_util.h"

namespace rpc {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(NumberInJson, IsReadQuotedOrNot) {
  EXPECT_EQ(NumberInJson(R"({"a":"12","b":34})", "a"), 12);
  EXPECT_EQ(NumberInJson(R"({"a":"12","b":34})", "b"), 34);
  EXPECT_EQ(NumberInJson(R"({"a": "56"})", "a"), 56);
}

TEST(NumberInJson, IsZeroWhenItIsLeftOut) {
  EXPECT_EQ(NumberInJson(R"({"callsFailed":"3"})", "callsSucceeded"), 0);
  EXPECT_EQ(NumberInJson("", "a"), 0);
  EXPECT_EQ(NumberInJson(R"({"a":)", "a"), 0);
}

TEST(NumberInJson, IsTheFirstOneOfThatName) {
  EXPECT_EQ(NumberInJson(R"({"x":{"a":"1"},"a":"2"})", "a"), 1);
}

TEST(NumbersInJson, AreAllOfThatNameInTheirOrder) {
  EXPECT_THAT(NumbersInJson(R"([{"a":"3"},{"ba":"9"},{"a":1}])", "a"), ElementsAre(3, 1));
  EXPECT_THAT(NumbersInJson("", "a"), IsEmpty());
}

TEST(TakeJson, IsEmptyWhereThereIsNoRecord) {
  EXPECT_EQ(TakeJson(nullptr), "");
  EXPECT_EQ(TakeJson(gpr_strdup("{}")), "{}");
}

TEST(IdsInPages, AreThoseOfEveryPage) {
  // Two a page, from an id on; there are 2, 4, 6, 8 and 10.
  const auto page = [](std::intptr_t first) {
    std::string text;
    const std::intptr_t even = first + first % 2;
    for (std::intptr_t id = even; id <= even + 2 && id <= 10; id += 2) {
      text += "{\"id\":\"" + std::to_string(id) + "\"}";
    }
    return gpr_strdup(text.c_str());
  };
  EXPECT_THAT(IdsInPages(page, "id"), ElementsAre(2, 4, 6, 8, 10));
  EXPECT_THAT(IdsInPages(page, "id", 7), ElementsAre(8, 10));
  EXPECT_THAT(IdsInPages(page, "id", 11), IsEmpty());
}

}  // namespace
}  // namespace rpc
