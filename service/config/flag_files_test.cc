#include "service/config/flag_files.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <string>
#include <vector>

#include "tests/common/temp_dir.h"

namespace config {
namespace {

using testing::HasSubstr;

class FlagFilesTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(directory_.File(name)) << text;
    return directory_.File(name);
  }

  // What is wrong with the file; empty: nothing.
  static std::string Wrong(const std::string& path) {
    return std::string(CheckFlagFiles({"--flagfile=" + path}).message());
  }

  const testkit::TempDir directory_;
};

TEST_F(FlagFilesTest, AreWhatTheyShouldBe) {
  const std::string inner = Write("inner", "--max_connections=3\n");
  const std::string outer =
      Write("outer", "# Twice, but not within itself.\n\n  --flagfile=" + inner + "," + inner);
  EXPECT_EQ(Wrong(outer), "");
  EXPECT_TRUE(CheckFlagFiles({}).ok());
  EXPECT_TRUE(CheckFlagFiles({"--flagfile=", "--flagfiles=/", "--flagfile"}).ok());
  EXPECT_TRUE(CheckFlagFiles({"--", "--flagfile=/"}).ok());
}

TEST_F(FlagFilesTest, AreNoDirectoriesHoweverTheyAreNamed) {
  const std::string refusal = "--flagfile=/: cannot read /: Is a directory";
  const std::string inner = Write("inner", "--flagfile=/\n");
  const std::vector<std::vector<std::string>> lines = {
      {"--flagfile=/"},   {"--address=a", "-flagfile=/"}, {"--flagfile", "/"},
      {"-flagfile", "/"}, {"--flagfile=/dev/null,/"},     {"--flagfile=" + inner}};
  for (const std::vector<std::string>& words : lines) {
    EXPECT_EQ(CheckFlagFiles(words).message(), refusal) << words.front();
  }
}

TEST_F(FlagFilesTest, CanBeRead) {
  const std::string missing = directory_.File("missing");
  EXPECT_THAT(Wrong(missing), HasSubstr(missing + ": No such file or directory"));
}

TEST_F(FlagFilesTest, DoNotIncludeThemselves) {
  const std::string self = directory_.File("self");
  Write("self", "--flagfile=" + self + "\n");
  EXPECT_EQ(Wrong(self), "--flagfile=" + self + ": it includes itself");
  // It comes again under the other name, and then again.
  const std::string dotted = directory_.path() + "/./self";
  Write("self", "--flagfile=" + dotted + "\n");
  EXPECT_EQ(Wrong(self), "--flagfile=" + dotted + ": it includes itself");
  const std::string one = Write("one", "--flagfile=" + directory_.File("other") + "\n");
  Write("other", "--flagfile=" + one + "\n");
  EXPECT_EQ(Wrong(one), "--flagfile=" + one + ": it includes itself");
}

TEST_F(FlagFilesTest, HaveLinesThatEndAsOurs) {
  EXPECT_THAT(Wrong(Write("flags", "--address=a:1\r\n")), HasSubstr("its lines end with \\r\\n"));
}

TEST_F(FlagFilesTest, BeginWithoutAMark) {
  for (const char* mark : {"\xEF\xBB\xBF", "\xFF\xFE", "\xFE\xFF"}) {
    EXPECT_THAT(Wrong(Write("flags", mark + std::string("# A comment\n"))),
                HasSubstr("byte order mark"));
  }
}

TEST_F(FlagFilesTest, MayBeAPipeWhichIsNotRead) {
  const std::string pipe = directory_.File("pipe");
  ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_EQ(Wrong(pipe), "");  // It would wait for somebody who writes.
}

}  // namespace
}  // namespace config
