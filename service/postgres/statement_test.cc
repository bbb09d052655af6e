#include "service/postgres/statement.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace postgres {
namespace {

using std::string_literals::operator""s;

TEST(Statement, EncodesAnIntegerAsEightBytes) {
  EXPECT_EQ(Encode(std::int64_t{258}).bytes, "\0\0\0\0\0\0\1\2"s);
  EXPECT_EQ(Encode(std::int64_t{-1}).bytes, std::string(8, '\xff'));
}

TEST(Statement, DecodesIntegersOfEverySize) {
  for (const std::int64_t value : {std::int64_t{0}, std::int64_t{-2}, std::int64_t{1} << 40,
                                   std::numeric_limits<std::int64_t>::min()}) {
    EXPECT_EQ(DecodeInteger(Encode(value).bytes.data(), 8), value);
  }
  EXPECT_EQ(DecodeInteger("\xff\xfe", 2), -2);
  EXPECT_EQ(DecodeInteger("\0\0\1\0", 4), 256);
  EXPECT_EQ(DecodeInteger("", 0), 0);
}

TEST(Statement, EncodesAnArrayWithEachElementsSize) {
  EXPECT_EQ(Encode(std::vector<std::string>{"a", ""}).bytes,
            "\0\0\0\1\0\0\0\0\0\0\0\x19"s  // One dimension, no nulls, of text.
            "\0\0\0\2\0\0\0\1"s            // Two elements, from 1 on.
            "\0\0\0\1"s
            "a"s
            "\0\0\0\0"s);
}

TEST(Statement, EncodesAnEmptyArray) {
  EXPECT_EQ(Encode(std::vector<std::string>{}).bytes, "\0\0\0\0\0\0\0\0\0\0\0\x19"s);
}

}  // namespace
}  // namespace postgres
