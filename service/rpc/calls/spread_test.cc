#include "service/rpc/calls/spread.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

namespace rpc {
namespace {

using ::testing::AllOf;
using ::testing::Each;
using ::testing::Gt;
using ::testing::Lt;

TEST(Spread, IsEvenWhateverTheDistanceBetweenObjects) {
  for (const std::size_t distance : {8, 64, 192, 1024, 4096, 65536}) {
    std::array<int, 16> fallen{};
    for (std::uintptr_t i = 1; i <= 16'000; ++i) {
      ++fallen[Spread(reinterpret_cast<const void*>(i * distance), fallen.size())];
    }
    EXPECT_THAT(fallen, Each(AllOf(Gt(500), Lt(2000)))) << distance;
  }
}

TEST(ThisThread, IsOneNumberForEachThread) {
  const std::size_t mine = ThisThread();
  EXPECT_EQ(ThisThread(), mine);
  for (std::size_t more = 1; more <= 3; ++more) {
    std::thread([=] { EXPECT_EQ(ThisThread(), mine + more); }).join();
  }
}

}  // namespace
}  // namespace rpc
