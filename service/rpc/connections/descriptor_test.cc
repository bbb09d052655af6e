#include "service/rpc/connections/descriptor.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <utility>

#include "tests/common/temp_dir.h"

namespace rpc {
namespace {

bool IsOpen(int fd) { return fcntl(fd, F_GETFD) >= 0; }

TEST(Descriptor, IsClosedWithItsOwner) {
  EXPECT_FALSE(Descriptor().open());
  int fd = -1;
  {
    Descriptor first(eventfd(0, EFD_CLOEXEC));
    ASSERT_TRUE(first.open());
    fd = first.fd();
    Descriptor second = std::move(first);
    EXPECT_EQ(second.fd(), fd);
    first = std::move(second);
    EXPECT_TRUE(IsOpen(fd));
  }
  EXPECT_FALSE(IsOpen(fd));
}

TEST(Descriptor, IsClosedWhenAnotherTakesItsPlace) {
  Descriptor descriptor(eventfd(0, EFD_CLOEXEC));
  const int fd = descriptor.fd();
  descriptor = Descriptor();
  EXPECT_FALSE(IsOpen(fd));
}

TEST(FileAt, KnowsAFileThatHasTakenAnothersPlace) {
  const testkit::TempDir dir;
  const std::string path = dir.File("a"), other = dir.File("b");
  EXPECT_EQ(FileAt(path), FileAt(""));
  std::ofstream(path) << "a";
  std::ofstream(other) << "b";
  const auto file = FileAt(path);
  EXPECT_EQ(file, FileAt(path));
  std::filesystem::rename(other, path);
  EXPECT_NE(file, FileAt(path));
}

}  // namespace
}  // namespace rpc
