#include "service/rpc/spare_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/common/no_threads.h"

namespace rpc {
namespace {

TEST(SpareThreads, AreToBeHad) { EXPECT_TRUE(CheckSpareThreads(ThreadsForAServer()).ok()); }

TEST(SpareThreads, AreMissedWithAMessage) {
  const testkit::NoThreads none;
  const absl::Status status = CheckSpareThreads(3);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("only 0 of the 3 threads"));
}

}  // namespace
}  // namespace rpc
