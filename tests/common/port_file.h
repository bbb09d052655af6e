#ifndef TESTS_COMMON_PORT_FILE_H_
#define TESTS_COMMON_PORT_FILE_H_

#include <chrono>
#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "tests/common/child_process.h"

namespace testkit {

// Waits until `server` has written its address into the file at `path` (its --port_file) and
// returns the address: "127.0.0.1:40123".
//
// The file must not exist before `server` is started.
//
// Errors: FAILED_PRECONDITION: the server has ended; with how it ended and its output.
// DEADLINE_EXCEEDED: nothing after `limit`; with its output. CANCELLED: `give_up`, which is asked every
// few milliseconds, said so.
absl::StatusOr<std::string> AwaitPortFile(const std::string& path, ChildProcess& server,
                                          std::chrono::milliseconds limit,
                                          const std::function<bool()>& give_up = nullptr);

}  // namespace testkit

#endif  // TESTS_COMMON_PORT_FILE_H_
