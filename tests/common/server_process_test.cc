#include "tests/common/server_process.h"

#include <signal.h>

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace testkit {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ServerProcessTest, IsStartedWithItsFlags) {
  const auto server = ServerProcess::Start(
      {.binary = "tests/common/fake_server.sh", .flags = {"--more"}, .address = "1.2.3.4:0"});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ((*server)->address(), "1.2.3.4:5678");
  EXPECT_THAT((*server)->process().Output(), StartsWith("flags: --address=1.2.3.4:0 "));
  EXPECT_THAT((*server)->process().Output(), HasSubstr(" --more\n"));
}

TEST(ServerProcessTest, RunsUnderAnotherProgramWhenAsked) {
  const auto server = ServerProcess::Start(
      {.binary = "tests/common/fake_server.sh", .under = {"/usr/bin/env", "UNDER=env"}});
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT((*server)->process().Output(), HasSubstr("under: env\n"));
}

TEST(ServerProcessTest, EndingAtOnceIsReportedWithItsOutput) {
  const auto server =
      ServerProcess::Start({.binary = "tests/common/fake_server.sh", .flags = {"--fail"}});
  EXPECT_EQ(server.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(server.status().message()), HasSubstr("could not start"));
}

}  // namespace
}  // namespace testkit
