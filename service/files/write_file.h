#ifndef SERVICE_FILES_WRITE_FILE_H_
#define SERVICE_FILES_WRITE_FILE_H_

#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace files {

// Who may read a file that is made, as far as the umask lets them.
inline constexpr mode_t kForAll = 0644;
inline constexpr mode_t kForOwner = 0600;  // It holds data.

// Makes `text` the content of the file that an operator has named `path`.
//
// Guarantees: a plain file, or none, is replaced as a whole: written beside it under an
// unpredictable name that nobody else has, and renamed. Whoever reads it sees all of it, and
// when the disk is full the old one stays.
// Where that is not possible it is written in place: a mount point (Kubernetes' termination
// log), a file in a directory that may not be written, a link to a file, a named pipe, a
// device. None of these is ever replaced. Waits for no reader of a pipe; a disk may hang.
//
// `mode` is of a file that is made; one that is written in place keeps its own.
//
// Errors: UNAVAILABLE, "cannot write PATH: why".
// Threads: any.
absl::Status WriteFile(const std::string& path, std::string_view text, mode_t mode);

// Whether WriteFile() could do it now, as far as that can be told without writing: for the
// start of a program that will write at its end.
//
// Errors: UNAVAILABLE, as above.
absl::Status CheckWritable(const std::string& path);

}  // namespace files

#endif  // SERVICE_FILES_WRITE_FILE_H_
