#include "service/lifecycle/last_resort/standard_streams.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

namespace lifecycle {
namespace {

std::string FileAt(int fd) {
  std::error_code none;
  return std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), none).string();
}

// In a process of its own: exits with 0 when that holds.
[[noreturn]] void Check(const std::vector<int>& closed) {
  std::vector<std::string> before;
  for (const int fd : {0, 1, 2}) before.push_back(FileAt(fd));
  for (const int fd : closed) {
    close(fd);
    before[static_cast<std::size_t>(fd)] = "/dev/null";
  }
  OpenStandardStreams();
  for (const int fd : {0, 1, 2}) {
    if (FileAt(fd) != before[static_cast<std::size_t>(fd)]) _exit(1);
  }
  const int next = open("/", O_RDONLY | O_CLOEXEC);
  _exit(next == 3 ? 0 : 2);
}

TEST(OpenStandardStreamsDeathTest, ReplacesOnlyClosedStreams) {
  for (const std::vector<int>& closed : {std::vector<int>{}, {2}, {1, 2}, {0, 1, 2}, {0}, {1}}) {
    EXPECT_EXIT(Check(closed), ::testing::ExitedWithCode(0), "");
  }
}

}  // namespace
}  // namespace lifecycle
