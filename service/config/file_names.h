#ifndef SERVICE_CONFIG_FILE_NAMES_H_
#define SERVICE_CONFIG_FILE_NAMES_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace config {

// The files and sockets of a server, by the flags that name them.
//
// The problem: a file that is written replaces what is there: another file or socket of this server,
// or what it has open, such as its database, which would be gone after a restart.
//
// Names are compared as they are written, "." and ".." resolved: two links to one file go unnoticed.
//
// INVALID_ARGUMENT, a sentence with both flags: another flag names a file that one of them writes.
//
// Threads: one.
class FileNames {
 public:
  // A file that is written, or a socket; empty: none. Devices, such as /dev/stderr, are no files.
  absl::Status Write(absl::string_view flag, absl::string_view file);

  // The socket files among addresses: of "127.0.0.1:0,unix:/run/socket", the second.
  absl::Status WriteSockets(absl::string_view flag, const std::string& addresses);

  // A file that may be read; two flags may read one file. Called when all that are written are known.
  absl::Status Read(absl::string_view flag, absl::string_view file) const;

 private:
  std::map<std::string, std::string> written_;  // Flags, by the whole name of the file.
};

}  // namespace config

#endif  // SERVICE_CONFIG_FILE_NAMES_H_
