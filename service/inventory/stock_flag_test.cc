#include "service/inventory/stock_flag.h"

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace inventory {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

TEST(StockFlag, NamesQuantitiesBySku) {
  EXPECT_THAT(*ParseStock("pear=500,apple=1000,fig=0"),
              ElementsAre(Pair("apple", 1000), Pair("fig", 0), Pair("pear", 500)));
}

TEST(StockFlag, RefusesWhatIsMalformedAndNamesThePart) {
  const std::vector<std::string> parts = {"",
                                          "apple",
                                          "apple=",
                                          "=5",
                                          "apple=-1",
                                          "apple=x",
                                          "apple=1.5",
                                          "apple=1=2",
                                          "apple=99999999999999999999",
                                          std::string(65, 'x') + "=1"};
  for (const std::string& part : parts) {
    const auto stock = ParseStock("fig=1," + part);
    EXPECT_TRUE(absl::IsInvalidArgument(stock.status())) << part;
    EXPECT_THAT(std::string(stock.status().message()),
                HasSubstr("\"" + part + "\" is not SKU=QUANTITY"));
  }
}

TEST(StockFlag, RefusesASkuThatStandsThereTwice) {
  const auto stock = ParseStock("fig=1,pear=1,fig=2");
  EXPECT_TRUE(absl::IsInvalidArgument(stock.status()));
  EXPECT_THAT(std::string(stock.status().message()), HasSubstr("fig stands there twice"));
}

}  // namespace
}  // namespace inventory
