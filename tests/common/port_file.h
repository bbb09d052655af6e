#ifndef TESTS_COMMON_PORT_FILE_H_
#define TESTS_COMMON_PORT_FILE_H_

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "tests/common/child_process.h"

namespace testkit {

// Waits until `server` has written where it listens into the file at `path` (its
// --port_file) and returns that: "127.0.0.1:40123".
//
// The file must not exist before `server` is started.
//
// Errors: FAILED_PRECONDITION: the server has ended; with how it ended and what it
// wrote. DEADLINE_EXCEEDED: nothing after `limit`; with what it wrote.
absl::StatusOr<std::string> AwaitPortFile(const std::string& path, ChildProcess& server,
                                          std::chrono::milliseconds limit);

}  // namespace testkit

#endif  // TESTS_COMMON_PORT_FILE_H_
