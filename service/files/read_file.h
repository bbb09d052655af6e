#ifndef SERVICE_FILES_READ_FILE_H_
#define SERVICE_FILES_READ_FILE_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"

namespace files {

// Reads a small file that an operator chose.
//
// INVALID_ARGUMENT, naming the file: it cannot be read, is larger than `max_bytes`, or is not a
// regular file (a pipe could block forever).
absl::StatusOr<std::string> ReadFile(const std::string& path, std::size_t max_bytes = 1 << 20);

}  // namespace files

#endif  // SERVICE_FILES_READ_FILE_H_
