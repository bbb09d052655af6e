#ifndef SERVICE_FILES_WRITE_FILE_H_
#define SERVICE_FILES_WRITE_FILE_H_

#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace files {

// Who may read a newly created file, as far as the umask allows.
inline constexpr mode_t kForAll = 0644;
inline constexpr mode_t kForOwner = 0600;  // For files that hold data.

// Makes `text` the content of the file that an operator has named `path`.
//
// Guarantees: a regular or missing file is replaced atomically: written next to it under an
// unpredictable, unique name, and renamed. Readers see all of it or the old content; when the disk
// is full the old file stays.
// Where that is not possible, the file is written in place and never replaced: a mount point
// (Kubernetes' termination log), a file in a directory that is not writable, a link to a file, a
// named pipe, a device. Does not wait for the reader of a pipe; a disk may hang.
//
// `mode` applies to a newly created file; one that is written in place keeps its own.
//
// Errors: UNAVAILABLE, "cannot write PATH: why".
// Threads: any.
absl::Status WriteFile(const std::string& path, std::string_view text, mode_t mode);

// Whether WriteFile() would succeed now, as far as that can be known without writing: for the start
// of a program that writes at its end.
//
// Errors: UNAVAILABLE, as above.
absl::Status CheckWritable(const std::string& path);

}  // namespace files

#endif  // SERVICE_FILES_WRITE_FILE_H_
