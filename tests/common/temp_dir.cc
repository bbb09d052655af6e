#include "tests/common/temp_dir.h"

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <system_error>

namespace testkit {

TempDir::TempDir() {
  const char* parent = getenv("TEST_TMPDIR");
  if (parent == nullptr) parent = getenv("TMPDIR");
  if (parent == nullptr) parent = "/tmp";
  path_ = std::filesystem::absolute(parent).lexically_normal() / "test-XXXXXX";
  if (mkdtemp(path_.data()) == nullptr) {
    perror(("cannot make " + path_).c_str());
    abort();
  }
}

TempDir::~TempDir() {
  // What cannot be removed stays behind; the rest is removed all the same.
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace testkit
