#include "tests/rolling/foreign_tools.h"

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace rolling {
namespace {

using ::testing::HasSubstr;

TEST(ForeignToolsTest, NamesWhatIsMissingAndWhatInstallsIt) {
  const auto tools = ForeignTools::Find("/nowhere/node", "/nowhere/node_modules");
  ASSERT_EQ(tools.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(tools.status().message(), HasSubstr("/nowhere/node' is missing"));
  EXPECT_THAT(tools.status().message(), HasSubstr("This installs it: "));
}

TEST(ForeignToolsTest, WithoutSettingsNamesWhatIsMissing) {
  EXPECT_EQ(ForeignTools::Find("", "").status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace rolling
