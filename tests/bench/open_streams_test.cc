// The measurement of open streams measures: fewer of them, every row, and its verdict.
#include <chrono>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/runfiles.h"

namespace bench {
namespace {

using ::testing::ContainsRegex;

TEST(OpenStreamsTest, OnlyTheHarnessSaysGoodbye) {
  testkit::ChildProcess run(
      {testkit::RunfileOrDie("tests/bench/open_streams"), "--streams=1000", "--connections=2"});
  EXPECT_EQ(run.Wait(std::chrono::minutes(2)), testkit::Ending::Exited(0)) << run.Output();
  const std::string table = run.Output();
  EXPECT_THAT(table, ContainsRegex("bare, cancelling all +1000 +0 +1000 "));
  EXPECT_THAT(table, ContainsRegex("bare, finishing all +1000 +0 +1000 "));
  EXPECT_THAT(table, ContainsRegex("bare, as in the tutorial +1000 +0 +1000 "));
  EXPECT_THAT(table, ContainsRegex("harness, goodbyes all at once +1000 +1000 +0 .*exit code 0"));
  EXPECT_THAT(table, ContainsRegex("harness, goodbyes at their pace +1000 +1000 +0 .*exit code 0"));
}

}  // namespace
}  // namespace bench
