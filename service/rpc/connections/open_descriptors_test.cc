#include "service/rpc/connections/open_descriptors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace rpc {
namespace {

TEST(OpenDescriptors, AreTheSameWithAndWithoutProc) {
  const int opened = dup(0);
  ASSERT_GT(opened, 2);
  EXPECT_THAT(OpenDescriptors(), testing::Contains(opened));
  EXPECT_THAT(TryEveryDescriptor(), testing::UnorderedElementsAreArray(OpenDescriptors()));
  close(opened);
  EXPECT_THAT(OpenDescriptors(), testing::Not(testing::Contains(opened)));
}

}  // namespace
}  // namespace rpc
