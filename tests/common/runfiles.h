#ifndef TESTS_COMMON_RUNFILES_H_
#define TESTS_COMMON_RUNFILES_H_

#include <string>

#include "absl/status/statusor.h"

namespace testkit {

// The absolute path of a file in a target's `data`: a binary to start, a text to read. `path` is
// the file's path in the workspace, "tests/bench/bare_server".
//
// Finds it under `bazel test` (TEST_SRCDIR), under `bazel run`, and when the program is started
// manually from bazel-bin (next to /proc/self/exe). The workspace's name does not matter.
//
// Errors: NOT_FOUND, with the places that were searched.
absl::StatusOr<std::string> Runfile(const std::string& path);

// The same; ends the process with a message when there is no such file, because then the target's
// `data` is wrong.
std::string RunfileOrDie(const std::string& path);

}  // namespace testkit

#endif  // TESTS_COMMON_RUNFILES_H_
