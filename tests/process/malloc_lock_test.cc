// A process whose memory nobody can have any more: not under a sanitizer, which brings
// an allocator of its own.
#include <signal.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/process/server_under_test.h"

namespace process_test {
namespace {

using ::testing::HasSubstr;
using testkit::Ending;

using MallocLockTest = ServerUnderTest;

TEST_F(MallocLockTest, NeverReleasedIsEndedByTheWatchdog) {
  Start("tests/process/faulty_server",
        {"--termination_grace=6s", "--shutdown_reserve=5800ms", "--fault=memory=hangs"},
        {"/usr/bin/env", "MALLOC_ARENA_MAX=1"});
  process().Signal(SIGTERM);
  EXPECT_EQ(process().Wait(kLimit), Ending::Exited(5)) << Output();
  EXPECT_THAT(Output(), HasSubstr("stuck in phase DrainingConnections; exit code 5\n"));
  EXPECT_THAT(Output(), HasSubstr("HangInMalloc"));
}

}  // namespace
}  // namespace process_test
