#ifndef TESTS_COMMON_SOCKET_PATH_H_
#define TESTS_COMMON_SOCKET_PATH_H_

#include <string>

#include "tests/common/temp_dir.h"

namespace testkit {

// The path of a socket file that is not there yet, in a directory that is removed with the process. A
// test's own directory may be longer than the name of a socket may be (108 bytes, unix(7)).
//
// Threads: one.
inline std::string UnusedSocketPath() {
  static const TempDir directory("/tmp");
  static int paths = 0;
  return directory.File("socket" + std::to_string(++paths));
}

}  // namespace testkit

#endif  // TESTS_COMMON_SOCKET_PATH_H_
