#include "service/rpc/spare_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <cstddef>
#include <string>

namespace rpc {
namespace {

TEST(SpareThreads, AreToBeHad) { EXPECT_TRUE(CheckSpareThreads(ThreadsForAServer()).ok()); }

TEST(SpareThreads, AreMissedWithAMessage) {
  pthread_attr_t usual;
  pthread_getattr_default_np(&usual);
  pthread_attr_t impossible;
  pthread_attr_init(&impossible);
  pthread_attr_setstacksize(&impossible, std::size_t{1} << 46);
  ASSERT_EQ(pthread_setattr_default_np(&impossible), 0);
  const absl::Status status = CheckSpareThreads(3);
  pthread_setattr_default_np(&usual);
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("only 0 of the 3 threads"));
}

}  // namespace
}  // namespace rpc
