#include "tests/rolling/foreign_tools.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/temp_dir.h"

namespace rolling {
namespace {

using ::testing::HasSubstr;

TEST(ForeignToolsTest, NamesWhatIsMissingAndWhatInstallsIt) {
  const auto tools = ForeignTools::Find("/nowhere/node", "/nowhere/node_modules");
  ASSERT_EQ(tools.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(tools.status().message(), HasSubstr("/nowhere/node' is missing"));
  EXPECT_THAT(tools.status().message(), HasSubstr("This installs it: "));
}

TEST(ForeignToolsTest, SaysWhatStandsForNodeSays) {
  const testkit::TempDir directory;
  const std::string node = directory.File("node");
  std::ofstream(node) << "#!/bin/sh\necho npm ci ended with 1 >&2\nexit 1\n";
  std::filesystem::permissions(node, std::filesystem::perms::owner_all);
  const auto tools = ForeignTools::Find(node, directory.path());
  ASSERT_EQ(tools.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_EQ(tools.status().message(), "npm ci ended with 1\n");
}

TEST(ForeignToolsTest, WithoutSettingsNamesWhatIsMissing) {
  EXPECT_EQ(ForeignTools::Find("", "").status().code(), absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace rolling
