#include "tests/common/runfiles.h"

#include <stdlib.h>

#include <filesystem>
#include <string>

#include "gtest/gtest.h"

namespace testkit {
namespace {

constexpr char kData[] = "tests/common/runfiles.h";

TEST(RunfileTest, IsFoundUnderBazelTest) {
  const absl::StatusOr<std::string> path = Runfile(kData);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_TRUE(std::filesystem::path(*path).is_absolute());
  EXPECT_TRUE(std::filesystem::exists(*path));
}

TEST(RunfileTest, IsFoundWithoutAWordFromBazel) {
  // What a program started by hand from bazel-bin has, or under `bazel run`.
  for (const char* variable : {"TEST_SRCDIR", "RUNFILES_DIR", "TEST_WORKSPACE"}) {
    unsetenv(variable);
  }
  const absl::StatusOr<std::string> path = Runfile(kData);
  ASSERT_TRUE(path.ok()) << path.status();
  EXPECT_TRUE(std::filesystem::exists(*path));
}

TEST(RunfileTest, ThatDoesNotExistIsNotFound) {
  const absl::StatusOr<std::string> path = Runfile("tests/common/no_such_file");
  ASSERT_EQ(path.status().code(), absl::StatusCode::kNotFound);
  const std::string message(path.status().message());
  EXPECT_NE(message.find("tests/common/no_such_file"), std::string::npos) << message;
  EXPECT_NE(message.find(".runfiles"), std::string::npos) << message;
}

}  // namespace
}  // namespace testkit
