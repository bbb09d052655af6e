#ifndef SERVICE_RPC_CONNECTIONS_DESCRIPTOR_H_
#define SERVICE_RPC_CONNECTIONS_DESCRIPTOR_H_

#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace rpc {

// A descriptor that is closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }

  int fd() const { return fd_; }
  bool open() const { return fd_ >= 0; }

 private:
  int fd_;
};

// What tells the file at a path from one that is put there later. {}: none is there.
inline std::pair<dev_t, ino_t> FileAt(const std::string& path) {
  struct stat file {};
  if (lstat(path.c_str(), &file) != 0) return {};
  return {file.st_dev, file.st_ino};
}

}  // namespace rpc

#endif  // SERVICE_RPC_CONNECTIONS_DESCRIPTOR_H_
