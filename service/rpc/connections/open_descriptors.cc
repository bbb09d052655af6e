#include "service/rpc/connections/open_descriptors.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>

#include <algorithm>

#include "absl/strings/numbers.h"

namespace rpc {

std::vector<int> OpenDescriptors() {
  DIR* const directory = opendir("/proc/self/fd");
  if (directory == nullptr) return TryEveryDescriptor();
  std::vector<int> open;
  while (const dirent* const entry = readdir(directory)) {
    int fd = -1;
    if (absl::SimpleAtoi(entry->d_name, &fd) && fd != dirfd(directory)) open.push_back(fd);
  }
  closedir(directory);
  return open;
}

std::vector<int> TryEveryDescriptor() {
  constexpr rlim_t kMost = 1 << 20;  // What kernels allow by default (fs.nr_open).
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  std::vector<int> open;
  for (int fd = 0; fd < static_cast<int>(std::min(limit.rlim_cur, kMost)); ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) open.push_back(fd);
  }
  return open;
}

}  // namespace rpc
