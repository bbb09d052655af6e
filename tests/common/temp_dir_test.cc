#include "tests/common/temp_dir.h"

#include <filesystem>
#include <fstream>
#include <string>

#include "gtest/gtest.h"

namespace testkit {
namespace {

TEST(TempDirTest, EachIsEmptyAndNobodyElses) {
  const TempDir one;
  const TempDir other;
  EXPECT_TRUE(std::filesystem::path(one.path()).is_absolute());
  EXPECT_TRUE(std::filesystem::is_empty(one.path()));
  EXPECT_NE(one.path(), other.path());
}

TEST(TempDirTest, LeavesNothingBehind) {
  std::string path;
  {
    const TempDir directory;
    path = directory.path();
    std::filesystem::create_directories(directory.File("a/b"));
    std::ofstream(directory.File("a/b/file")) << "text";
    ASSERT_TRUE(std::filesystem::exists(path + "/a/b/file"));
  }
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(TempDir, LiesWhereItIsWantedIfItCan) {
  const TempDir parent;
  EXPECT_EQ(TempDir(parent.path()).path().rfind(parent.path() + "/", 0), 0u);
  EXPECT_EQ(TempDir(parent.File("nowhere")).path().rfind(parent.path(), 0), std::string::npos);
}

}  // namespace
}  // namespace testkit
