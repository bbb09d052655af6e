#include "service/files/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace files {

absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_bytes) {
  const auto cannot = [&path](int error) {
    return absl::InvalidArgumentError(
        absl::StrCat("cannot read ", path, ": ", std::generic_category().message(error)));
  };
  const int fd = open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return cannot(errno);
  const std::unique_ptr<const int, void (*)(const int*)> closed(
      &fd, [](const int* opened) { close(*opened); });
  struct stat status {};
  if (fstat(fd, &status) != 0) return cannot(errno);
  if (S_ISDIR(status.st_mode)) return cannot(EISDIR);
  if (!S_ISREG(status.st_mode)) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is not a regular file"));
  }
  std::string text(max_bytes + 1, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = read(fd, text.data() + size, text.size() - size);
    if (got < 0 && errno != EINTR) return cannot(errno);
    if (got == 0) break;
    if (got > 0) size += static_cast<std::size_t>(got);
  }
  if (size > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(path, " is larger than ", max_bytes, " bytes"));
  }
  text.resize(size);
  return text;
}

}  // namespace files
