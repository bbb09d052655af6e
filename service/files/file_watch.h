#ifndef SERVICE_FILES_FILE_WATCH_H_
#define SERVICE_FILES_FILE_WATCH_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"

namespace files {

// Reports when a small file has changed.
//
// The problem: a file may be read while somebody is still writing it, and a file system may hang.
//
// Guarantees: a change is reported when two reads, `interval` apart, have the same result; that the
// file can no longer be read is such a result, too. A file system that hangs delays nothing else.
//
// Threads: `changed` is called on a thread of its own, and not any more once the destructor has
// returned.
class FileWatch {
 public:
  static constexpr std::chrono::milliseconds kInterval{1000};

  // As ReadFile() returns it.
  using Changed = std::function<void(const absl::StatusOr<std::string>& text)>;

  // `text`: what the file has contained so far.
  //
  // Throws std::system_error when a thread cannot be created.
  FileWatch(std::string path, std::string text, Changed changed,
            std::chrono::milliseconds interval = kInterval);
  ~FileWatch();
  FileWatch(const FileWatch&) = delete;
  FileWatch& operator=(const FileWatch&) = delete;

 private:
  struct State;

  const std::shared_ptr<State> state_;  // Shared with the thread, which may hang in a read.
};

}  // namespace files

#endif  // SERVICE_FILES_FILE_WATCH_H_
