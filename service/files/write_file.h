#ifndef SERVICE_FILES_WRITE_FILE_H_
#define SERVICE_FILES_WRITE_FILE_H_

#include <sys/types.h>

#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace files {

// Modes of a newly created file, before the umask.
inline constexpr mode_t kForAll = 0644;
inline constexpr mode_t kForOwner = 0600;  // For files that hold data.

// Replaces the content of the file that an operator named `path` by `text`.
//
// Guarantees: a regular or missing file is replaced atomically: `text` is written next to it under
// an unpredictable, unique name, which is renamed. Readers see the new content or the old; when the
// disk is full, the old file stays.
// Where that is not possible, the file is written in place: a mount point (Kubernetes' termination
// log), a file in a directory that is not writable, a symbolic link, a named pipe, a device. Does
// not wait for the reader of a pipe, but a disk may block it.
// A regular file that this process has as its stdout or stderr (/dev/stdout, in many a container)
// is its log, of which nothing is replaced: `text` is written there like a line of it.
//
// `mode` applies to a newly created file; one that is written in place keeps its own.
//
// Errors: UNAVAILABLE, "cannot write PATH: why".
// Threads: any.
absl::Status WriteFile(const std::string& path, std::string_view text, mode_t mode);

// Checks whether WriteFile() would succeed, as far as that can be known without writing. For a
// program that writes when it ends, to fail when it starts.
//
// Errors: UNAVAILABLE, as above.
absl::Status CheckWritable(const std::string& path);

}  // namespace files

#endif  // SERVICE_FILES_WRITE_FILE_H_
