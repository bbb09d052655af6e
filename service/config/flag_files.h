#ifndef SERVICE_CONFIG_FLAG_FILES_H_
#define SERVICE_CONFIG_FLAG_FILES_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace config {

// Looks at the files of --flagfile before absl::ParseCommandLine() does, and at those that they name.
//
// The problem: to Abseil a directory is an empty file, a file that names itself never ends, and the
// \r of a line's end belongs to the value: the server would start with other settings than the file
// has, without TLS for one, or fill the memory.
//
// `words`: the command line without the program's name.
//
// INVALID_ARGUMENT, naming the file: it cannot be read, is a directory, or is larger than
// files::ReadFile() reads; it includes itself, directly or through others; it has lines that end
// with \r\n, or begins with a byte order mark.
//
// Does not look into a pipe, which can be read only once: Abseil does.
absl::Status CheckFlagFiles(const std::vector<std::string>& words);

}  // namespace config

#endif  // SERVICE_CONFIG_FLAG_FILES_H_
