#include "service/files/read_file.h"

#include <linux/capability.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>

#include "absl/status/status.h"
#include "gtest/gtest.h"
#include "tests/common/temp_dir.h"

namespace files {
namespace {

// Root may read everything, until it asks for no more than others may. For this thread alone.
int GiveUpPrivileges() {
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
  return static_cast<int>(syscall(SYS_capset, &header, none));
}

class ReadFileTest : public testing::Test {
 protected:
  std::string Error(const std::string& path) {
    const absl::Status status = ReadFile(path, 8).status();
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    return std::string(status.message());
  }

  const testkit::TempDir directory_;
  const std::string path_ = directory_.File("file");
};

TEST_F(ReadFileTest, ReturnsWhatIsInIt) {
  const std::string bytes("a\0\xFFz\n", 5);
  std::ofstream(path_) << bytes;
  const auto read = ReadFile(path_);
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(*read, bytes);
  std::ofstream(path_, std::ios::trunc).flush();
  EXPECT_EQ(*ReadFile(path_), "");
}

TEST_F(ReadFileTest, NamesAFileThatCannotBeRead) {
  EXPECT_EQ(Error(path_), "cannot read " + path_ + ": No such file or directory");
  EXPECT_EQ(Error(directory_.path()), "cannot read " + directory_.path() + ": Is a directory");
}

TEST_F(ReadFileTest, NamesAFileThatMustNotBeRead) {
  std::ofstream(path_) << "secret";
  ASSERT_EQ(chmod(path_.c_str(), 0), 0);
  ASSERT_EQ(GiveUpPrivileges(), 0) << std::strerror(errno);
  EXPECT_EQ(Error(path_), "cannot read " + path_ + ": Permission denied");
}

TEST_F(ReadFileTest, WaitsForNoWriterOfAPipe) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_EQ(Error(path_), path_ + " is not a regular file");
}

TEST_F(ReadFileTest, RefusesMoreThanItsLimit) {
  std::ofstream(path_) << "12345678";
  EXPECT_TRUE(ReadFile(path_, 8).ok());
  std::ofstream(path_, std::ios::app) << "9";
  EXPECT_EQ(Error(path_), path_ + " is larger than 8 bytes");
}

}  // namespace
}  // namespace files
