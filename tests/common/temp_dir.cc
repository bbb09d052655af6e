#include "tests/common/temp_dir.h"

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <system_error>

namespace testkit {

namespace {

// Empty: it cannot be made.
std::string MakeIn(const std::filesystem::path& parent) {
  std::string path = parent / "test-XXXXXX";
  return mkdtemp(path.data()) == nullptr ? "" : path;
}

std::filesystem::path RunnersChoice() {
  const char* parent = getenv("TEST_TMPDIR");
  if (parent == nullptr) parent = getenv("TMPDIR");
  return std::filesystem::absolute(parent == nullptr ? "/tmp" : parent).lexically_normal();
}

}  // namespace

TempDir::TempDir(const std::string& parent) {
  if (!parent.empty()) path_ = MakeIn(parent);
  if (path_.empty()) path_ = MakeIn(RunnersChoice());
  if (path_.empty()) {
    perror(("cannot make a directory in " + RunnersChoice().string()).c_str());
    abort();
  }
}

TempDir::~TempDir() {
  // What cannot be removed stays behind; the rest is removed all the same.
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace testkit
