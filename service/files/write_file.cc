#include "service/files/write_file.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"

namespace files {
namespace {

std::string DirectoryOf(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

absl::Status Failed(const std::string& path, std::string_view why) {
  return absl::UnavailableError(absl::StrCat("cannot write ", path, ": ", std::string(why)));
}

absl::Status Failed(const std::string& path, int error) {
  if (error == ENXIO) return Failed(path, "nobody reads it");
  if (error == ENOENT) return Failed(path, "there is no directory " + DirectoryOf(path));
  return Failed(path, std::strerror(error));
}

// 0, or an errno.
int WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t now = write(fd, text.data(), text.size());
    if (now < 0 && errno != EINTR) return errno;
    if (now > 0) text.remove_prefix(static_cast<std::size_t>(now));
  }
  return 0;
}

absl::Status WriteInPlace(const std::string& path, std::string_view text) {
  const int fd = open(path.c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  if (fd < 0) return Failed(path, errno);
  int error = WriteAll(fd, text);
  struct stat status;
  // Not before: until then readers see the old content rather than nothing.
  if (error == 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
      ftruncate(fd, static_cast<off_t>(text.size())) != 0) {
    error = errno;
  }
  if (close(fd) != 0 && error == 0) error = errno;
  return error == 0 ? absl::OkStatus() : Failed(path, error);
}

// Whether the file may still be written in place because only its directory is read-only.
bool MustBeInPlace(int error) {
  return error == EACCES || error == EPERM || error == EROFS || error == EBUSY || error == EXDEV;
}

// 0, or an errno.
int Replace(const std::string& path, std::string_view text, mode_t mode) {
  std::uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) return errno;
  const std::string unfinished =
      absl::StrCat(DirectoryOf(path), "/.", absl::Hex(random, absl::kZeroPad16), ".tmp");
  const int fd =
      open(unfinished.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd < 0) return errno;
  int error = WriteAll(fd, text);
  if (close(fd) != 0 && error == 0) error = errno;
  if (error == 0 && std::rename(unfinished.c_str(), path.c_str()) != 0) error = errno;
  if (error != 0) unlink(unfinished.c_str());
  return error;
}

// What is at `path`, or nothing, by the kind of file that stat() tells.
struct Place {
  bool exists = false;
  bool plain = false;
  int output = -1;  // This process's stdout or stderr, if it goes to that file.
};

// Which of its two outputs this process already writes to `file`; -1: neither.
int OutputTo(const struct stat& file) {
  for (const int fd : {STDOUT_FILENO, STDERR_FILENO}) {
    struct stat status;
    if (S_ISREG(file.st_mode) && fstat(fd, &status) == 0 && status.st_dev == file.st_dev &&
        status.st_ino == file.st_ino) {
      return fd;
    }
  }
  return -1;
}

absl::Status Look(const std::string& path, Place& place) {
  struct stat status;
  if (lstat(path.c_str(), &status) != 0) {
    if (errno != ENOENT) return Failed(path, errno);
    if (path.empty() || path.back() == '/') return Failed(path, "it is not a file name");
    return absl::OkStatus();
  }
  place = {.exists = true, .plain = S_ISREG(status.st_mode)};
  if (stat(path.c_str(), &status) != 0) return Failed(path, "it is a dangling symbolic link");
  if (S_ISDIR(status.st_mode)) return Failed(path, "it is a directory");
  if (S_ISSOCK(status.st_mode)) return Failed(path, "it is a socket");
  place.output = OutputTo(status);
  return absl::OkStatus();
}

int Access(const std::string& path, int how) {
  return faccessat(AT_FDCWD, path.c_str(), how, AT_EACCESS) == 0 ? 0 : errno;
}

}  // namespace

absl::Status WriteFile(const std::string& path, std::string_view text, mode_t mode) {
  Place place;
  if (absl::Status looked = Look(path, place); !looked.ok()) return looked;
  if (place.output >= 0) {
    const int error = WriteAll(place.output, text);
    return error == 0 ? absl::OkStatus() : Failed(path, error);
  }
  if (place.exists && !place.plain) return WriteInPlace(path, text);
  const int error = Replace(path, text, mode);
  if (error == 0) return absl::OkStatus();
  if (place.exists && MustBeInPlace(error)) return WriteInPlace(path, text);
  return Failed(path, error);
}

absl::Status CheckWritable(const std::string& path) {
  Place place;
  if (absl::Status looked = Look(path, place); !looked.ok()) return looked;
  if (place.output >= 0) return absl::OkStatus();
  const int of_file = place.exists ? Access(path, W_OK) : ENOENT;
  if (of_file == 0) return absl::OkStatus();
  const int of_directory = Access(DirectoryOf(path), W_OK | X_OK);
  if (of_directory == 0 && (!place.exists || place.plain)) return absl::OkStatus();
  return Failed(path, place.exists ? of_file : of_directory);
}

}  // namespace files
