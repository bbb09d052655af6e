#include "tests/common/runfiles.h"

#include <stdlib.h>

#include <cstdio>
#include <filesystem>
#include <system_error>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace testkit {
namespace {

namespace fs = std::filesystem;

// Directories that have one directory for each workspace in them.
std::vector<std::string> Trees() {
  std::vector<std::string> trees;
  for (const char* variable : {"TEST_SRCDIR", "RUNFILES_DIR"}) {
    if (const char* tree = getenv(variable)) trees.emplace_back(tree);
  }
  std::error_code error;
  const fs::path self = fs::read_symlink("/proc/self/exe", error);
  if (!error) trees.push_back(self.string() + ".runfiles");
  return trees;
}

// The workspaces in a tree; the test's own first.
std::vector<fs::path> Workspaces(const std::string& tree) {
  std::vector<fs::path> workspaces;
  if (const char* own = getenv("TEST_WORKSPACE")) workspaces.push_back(fs::path(tree) / own);
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(tree, error)) {
    workspaces.push_back(entry.path());
  }
  return workspaces;
}

}  // namespace

absl::StatusOr<std::string> Runfile(const std::string& path) {
  const std::vector<std::string> trees = Trees();
  for (const std::string& tree : trees) {
    for (const fs::path& workspace : Workspaces(tree)) {
      std::error_code error;
      const fs::path candidate = fs::absolute(workspace / path, error);
      if (!error && fs::exists(candidate, error)) return candidate.string();
    }
  }
  return absl::NotFoundError(absl::StrCat(path, " is in none of: ", absl::StrJoin(trees, ", ")));
}

std::string RunfileOrDie(const std::string& path) {
  const absl::StatusOr<std::string> found = Runfile(path);
  if (!found.ok()) {
    fprintf(stderr, "%s\n", std::string(found.status().message()).c_str());
    abort();
  }
  return *found;
}

}  // namespace testkit
