#include <chrono>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/child_process.h"
#include "tests/common/runfiles.h"

namespace bench {
namespace {

using ::testing::ContainsRegex;

// Only how long a broken test takes to fail.
constexpr std::chrono::seconds kLimit{50};

TEST(HotPathTest, ComparesBothServersForEveryPayload) {
  testkit::ChildProcess run({testkit::RunfileOrDie("tests/bench/hot_path"), "--rounds=1",
                             "--calls=2", "--callers=2", "--slice=1ms", "--payloads=0,100"});
  EXPECT_EQ(run.Wait(kLimit), testkit::Ending::Exited(0)) << run.Output();
  for (const char* title :
       {"1 caller, 0 bytes", "2 callers, 0 bytes", "1 caller, 100 bytes", "2 callers, 100 bytes"}) {
    EXPECT_THAT(run.Output(), ContainsRegex(title));
  }
  for (const char* row : {"calls/s", "p50, us", "p99, us", "server CPU, us/call"}) {
    EXPECT_THAT(run.Output(), ContainsRegex(std::string(row) + " +[0-9.]+ +[0-9.]+ +[0-9.]+ "));
  }
}

TEST(HotPathTest, InventsNoNumberForADeadServer) {
  testkit::ChildProcess run(
      {testkit::RunfileOrDie("tests/bench/hot_path"), "--harness_flags=--no_such_flag"});
  EXPECT_EQ(run.Wait(kLimit), testkit::Ending::Exited(1));
  EXPECT_THAT(run.Output(), ContainsRegex("no_such_flag"));
}

}  // namespace
}  // namespace bench
