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
  const std::vector<std::string> parts = {
      "",        "apple",     "apple=",    "apple=-1",
      "apple=x", "apple=1.5", "apple=1=2", "apple=99999999999999999999"};
  for (const std::string& part : parts) {
    const auto stock = ParseStock("fig=1," + part);
    EXPECT_TRUE(absl::IsInvalidArgument(stock.status())) << part;
    EXPECT_THAT(std::string(stock.status().message()),
                HasSubstr("\"" + part + "\" is not SKU=QUANTITY"));
  }
}

TEST(StockFlag, TakesASkuOfSeveralWordsInAnyScript) {
  EXPECT_THAT(
      *ParseStock("red apple=1,p\u00e4r=2," + std::string(64, 'x') + "=3"),
      ElementsAre(Pair("p\u00e4r", 2), Pair("red apple", 1), Pair(std::string(64, 'x'), 3)));
}

TEST(StockFlag, RefusesASkuThatNobodyWouldOrder) {
  const std::vector<std::string> skus = {"",           " pear",
                                         "pear ",      "pe\nar",
                                         "\tpear",     "pe\x1b[2Jar",
                                         "p\xe4r",  // Latin-1.
                                         "pe\u200bar", std::string(65, 'x')};
  for (const std::string& sku : skus) {
    const auto stock = ParseStock("fig=1," + sku + "=5");
    EXPECT_TRUE(absl::IsInvalidArgument(stock.status())) << sku;
    EXPECT_THAT(std::string(stock.status().message()),
                HasSubstr("\"" + sku + "\" is no SKU: it needs 1 to 64 characters"));
  }
}

TEST(StockFlag, RefusesASkuThatStandsThereTwice) {
  const auto stock = ParseStock("fig=1,pear=1,fig=2");
  EXPECT_TRUE(absl::IsInvalidArgument(stock.status()));
  EXPECT_THAT(std::string(stock.status().message()), HasSubstr("fig stands there twice"));
}

}  // namespace
}  // namespace inventory
