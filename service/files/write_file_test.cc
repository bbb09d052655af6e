#include "service/files/write_file.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/common/temp_dir.h"

namespace files {
namespace {

using testing::EndsWith;
using testing::HasSubstr;

class WriteFileTest : public ::testing::Test {
 protected:
  static std::string Read(const std::string& path) {
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static std::string Problem(const absl::Status& status) { return std::string(status.message()); }

  mode_t ModeOf(const std::string& path) const {
    struct stat status {};
    EXPECT_EQ(lstat(path.c_str(), &status), 0);
    return status.st_mode;
  }

  // How many files the directory has.
  long Count() const {
    return std::distance(std::filesystem::directory_iterator(directory_.path()), {});
  }

  const testkit::TempDir directory_;
  const std::string path_ = directory_.File("report");
};

TEST_F(WriteFileTest, CreatesOnlyAFileWithItsMode) {
  umask(022);
  EXPECT_TRUE(CheckWritable(path_).ok());
  EXPECT_EQ(WriteFile(path_, "text", kForOwner), absl::OkStatus());
  EXPECT_EQ(Read(path_), "text");
  EXPECT_EQ(ModeOf(path_) & 0777, 0600U);
  EXPECT_EQ(WriteFile(directory_.File("port"), "1", kForAll), absl::OkStatus());
  EXPECT_EQ(ModeOf(directory_.File("port")) & 0777, 0644U);
  EXPECT_EQ(Count(), 2);
}

TEST_F(WriteFileTest, ReplacesARegularFileAtomically) {
  std::ofstream(path_) << "a longer text";
  std::ifstream reader(path_);
  EXPECT_EQ(WriteFile(path_, "text", kForOwner), absl::OkStatus());
  EXPECT_EQ(Read(path_), "text");
  std::string old;
  std::getline(reader, old);
  EXPECT_EQ(old, "a longer text");
  EXPECT_EQ(Count(), 1);
}

TEST_F(WriteFileTest, WritesThroughALinkAndKeepsIt) {
  const std::string target = directory_.File("target");
  std::ofstream(target) << "a longer text";
  ASSERT_EQ(symlink("target", path_.c_str()), 0);
  EXPECT_EQ(WriteFile(path_, "text", kForOwner), absl::OkStatus());
  EXPECT_TRUE(S_ISLNK(ModeOf(path_)));
  EXPECT_EQ(Read(target), "text");
}

TEST_F(WriteFileTest, CreatesNothingThroughADanglingLink) {
  ASSERT_EQ(symlink("target", path_.c_str()), 0);
  for (const absl::Status& status : {CheckWritable(path_), WriteFile(path_, "x", kForOwner)}) {
    EXPECT_EQ(Problem(status), "cannot write " + path_ + ": it is a dangling symbolic link");
  }
  EXPECT_EQ(Count(), 1);
}

TEST_F(WriteFileTest, KeepsANamedPipeThatNobodyReads) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  EXPECT_TRUE(CheckWritable(path_).ok());
  EXPECT_THAT(Problem(WriteFile(path_, "text", kForOwner)), EndsWith(": nobody reads it"));
  const int reader = open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  EXPECT_EQ(WriteFile(path_, "text", kForOwner), absl::OkStatus());
  char text[10];
  EXPECT_EQ(read(reader, text, sizeof text), 4);
  // More than it holds.
  EXPECT_THAT(Problem(WriteFile(path_, std::string(1 << 20, 'x'), kForOwner)),
              HasSubstr("temporarily unavailable"));
  close(reader);
  EXPECT_TRUE(S_ISFIFO(ModeOf(path_)));
}

TEST_F(WriteFileTest, KeepsALinkToANamedPipe) {
  ASSERT_EQ(mkfifo(directory_.File("pipe").c_str(), 0600), 0);
  ASSERT_EQ(symlink("pipe", path_.c_str()), 0);
  EXPECT_THAT(Problem(WriteFile(path_, "text", kForOwner)), EndsWith(": nobody reads it"));
  EXPECT_TRUE(S_ISLNK(ModeOf(path_)));
  EXPECT_TRUE(S_ISFIFO(ModeOf(directory_.File("pipe"))));
}

TEST_F(WriteFileTest, KeepsADevice) {
  // A terminal of our own.
  const int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  ASSERT_GE(terminal, 0);
  ASSERT_EQ(grantpt(terminal), 0);
  ASSERT_EQ(unlockpt(terminal), 0);
  const std::string device = ptsname(terminal);
  ASSERT_EQ(symlink(device.c_str(), path_.c_str()), 0);
  EXPECT_EQ(WriteFile(path_, "text\n", kForOwner), absl::OkStatus());
  char text[10];
  EXPECT_EQ(read(terminal, text, sizeof text), 6);  // A terminal makes \r\n of it.
  EXPECT_TRUE(S_ISCHR(ModeOf(device)));
  close(terminal);
}

TEST_F(WriteFileTest, KeepsTheProcessesOwnLog) {
  const int own = dup(STDERR_FILENO);
  const int log = open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(dup2(log, STDERR_FILENO), STDERR_FILENO);
  EXPECT_EQ(write(STDERR_FILENO, "a long line\n", 12), 12);
  const absl::Status writable = CheckWritable("/dev/stderr");
  const absl::Status by_its_device = WriteFile("/dev/stderr", "one\n", kForOwner);
  const absl::Status by_its_name = WriteFile(path_, "two\n", kForOwner);
  EXPECT_EQ(write(STDERR_FILENO, "the end\n", 8), 8);
  dup2(own, STDERR_FILENO);
  close(own);
  close(log);
  EXPECT_EQ(writable, absl::OkStatus());
  EXPECT_EQ(by_its_device, absl::OkStatus());
  EXPECT_EQ(by_its_name, absl::OkStatus());
  EXPECT_EQ(Read(path_), "a long line\none\ntwo\nthe end\n");
}

TEST_F(WriteFileTest, RefusesADirectoryOrASocket) {
  ASSERT_EQ(mkdir(path_.c_str(), 0700), 0);
  const std::string name = directory_.File("socket");
  // Its path may be longer than an address.
  ASSERT_EQ(chdir(directory_.path().c_str()), 0);
  const sockaddr_un address{AF_UNIX, "socket"};
  const int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  EXPECT_THAT(Problem(CheckWritable(path_)), EndsWith(": it is a directory"));
  EXPECT_THAT(Problem(WriteFile(path_, "x", kForOwner)), EndsWith(": it is a directory"));
  EXPECT_THAT(Problem(CheckWritable(name)), EndsWith(": it is a socket"));
  EXPECT_THAT(Problem(WriteFile(name, "x", kForOwner)), EndsWith(": it is a socket"));
  EXPECT_EQ(Count(), 2);
  close(listener);
}

TEST_F(WriteFileTest, NamesAMissingDirectory) {
  const std::string path = directory_.File("missing/report");
  for (const absl::Status& status : {CheckWritable(path), WriteFile(path, "x", kForOwner)}) {
    EXPECT_EQ(Problem(status),
              "cannot write " + path + ": there is no directory " + directory_.File("missing"));
  }
  EXPECT_THAT(Problem(CheckWritable(path_ + "/")), EndsWith("it is not a file name"));
  EXPECT_FALSE(CheckWritable("").ok());
}

TEST_F(WriteFileTest, AFullDiskKeepsTheOldFile) {
  std::ofstream(path_) << "old";
  signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit nothing{2, limit.rlim_max};  // Some of it goes.
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &nothing), 0);
  const absl::Status status = WriteFile(path_, "text", kForOwner);
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_EQ(Problem(status), "cannot write " + path_ + ": File too large");
  EXPECT_EQ(Read(path_), "old");
  EXPECT_EQ(Count(), 1);
}

// Without what lets root write where its mode says that nobody may.
class AsNobodyTest : public WriteFileTest {
 protected:
  AsNobodyTest() {
    std::ofstream(path_) << "a longer text";
    EXPECT_EQ(chmod(path_.c_str(), 0666), 0);
    EXPECT_EQ(chmod(directory_.path().c_str(), 0555), 0);
    EXPECT_EQ(syscall(SYS_capget, &header_, had_), 0);
    __user_cap_data_struct has[2] = {had_[0], had_[1]};
    has[0].effective &= ~(1U << CAP_DAC_OVERRIDE | 1U << CAP_DAC_READ_SEARCH);
    EXPECT_EQ(syscall(SYS_capset, &header_, has), 0);
  }
  ~AsNobodyTest() override {
    EXPECT_EQ(syscall(SYS_capset, &header_, had_), 0);
    EXPECT_EQ(chmod(directory_.path().c_str(), 0755), 0);
  }

 private:
  __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct had_[2] = {};
};

TEST_F(AsNobodyTest, WritesInPlaceInAReadOnlyDirectory) {
  EXPECT_TRUE(CheckWritable(path_).ok());
  EXPECT_EQ(WriteFile(path_, "text", kForOwner), absl::OkStatus());
  EXPECT_EQ(Read(path_), "text");
  EXPECT_EQ(ModeOf(path_) & 0777, 0666U);
}

TEST_F(AsNobodyTest, SaysThatNothingMayBeCreated) {
  const std::string other = directory_.File("other");
  EXPECT_THAT(Problem(CheckWritable(other)), EndsWith(": Permission denied"));
  EXPECT_THAT(Problem(WriteFile(other, "text", kForOwner)), EndsWith(": Permission denied"));
}

}  // namespace
}  // namespace files
