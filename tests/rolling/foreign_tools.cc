#include "tests/rolling/foreign_tools.h"

#include <chrono>
#include <filesystem>
#include <system_error>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tests/common/child_process.h"
#include "tests/common/runfiles.h"

namespace rolling {
namespace {

constexpr char kPackages[] = "bazel/install_packages test";
constexpr char kNpm[] = "./bazelw test //tests/rolling:rolling_restart";

absl::Status Missing(const std::string& what, const std::string& command) {
  return absl::FailedPreconditionError(absl::StrCat(what, "\nThis installs it: ", command));
}

absl::Status Require(const std::string& path, const std::string& command) {
  std::error_code error;
  if (std::filesystem::exists(path, error)) return absl::OkStatus();
  return Missing(absl::StrCat("'", path, "' is missing."), command);
}

// Where Bazel could not install, what stands there for Node.js says why, and what to do.
absl::Status RequireNode(const std::string& node) {
  if (const absl::Status found = Require(node, kNpm); !found.ok()) return found;
  testkit::ChildProcess version({node, "--version"});
  if (version.Wait(std::chrono::seconds(60)) == testkit::Ending::Exited(0)) return absl::OkStatus();
  return absl::FailedPreconditionError(version.Output());
}

absl::Status RequireModules(const std::string& python) {
  testkit::ChildProcess imports({python, "-c", "import grpc, google.protobuf"});
  if (imports.Wait(std::chrono::seconds(60)) == testkit::Ending::Exited(0)) {
    return absl::OkStatus();
  }
  return Missing(imports.Output(), kPackages);
}

std::string Absolute(const std::string& path) {
  std::error_code none;
  return std::filesystem::absolute(path, none).string();
}

}  // namespace

absl::StatusOr<ForeignTools> ForeignTools::Find(const std::string& node,
                                                const std::string& node_modules) {
  ForeignTools tools{
      .python_caller = testkit::RunfileOrDie("tests/rolling/callers/caller.py"),
      .node_caller = testkit::RunfileOrDie("tests/rolling/callers/caller.js"),
      .descriptors = testkit::RunfileOrDie("tests/rolling/orders.binpb"),
      .service_config = testkit::RunfileOrDie("client/service_config.json"),
      // Debian's: another Python does not see Debian's packages.
      .python = "/usr/bin/python3",
      .haproxy = "/usr/sbin/haproxy",
      .node = Absolute(node),
      .node_modules = Absolute(node_modules),
      .buf = Absolute(node_modules + "/.bin/buf"),
  };
  absl::Status found = Require(tools.python, kPackages);
  found.Update(Require(tools.haproxy, kPackages));
  found.Update(RequireNode(tools.node));
  found.Update(Require(tools.node_modules + "/@grpc/grpc-js", kNpm));
  found.Update(Require(tools.buf, kNpm));
  if (found.ok()) found = RequireModules(tools.python);
  if (!found.ok()) return found;
  return tools;
}

}  // namespace rolling
