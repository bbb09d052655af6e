#ifndef TESTS_ROLLING_FOREIGN_TOOLS_H_
#define TESTS_ROLLING_FOREIGN_TOOLS_H_

#include <string>

#include "absl/status/statusor.h"

namespace rolling {

// The tools that callers in other languages need, as absolute paths: from the test's `data`, and
// from packages of the group `test` in bazel/packages.txt.
struct ForeignTools {
  std::string python_caller;   // caller.py
  std::string node_caller;     // caller.js
  std::string descriptors;     // Of orders.v1.OrdersService: a FileDescriptorSet.
  std::string service_config;  // client/service_config.json
  std::string python;
  std::string haproxy;
  std::string node;
  std::string node_modules;  // What npm has installed.
  std::string buf;           // A program for `node`.

  // `node` and `node_modules`: where Bazel has put them.
  //
  // FAILED_PRECONDITION: something is missing; with the command that installs it.
  static absl::StatusOr<ForeignTools> Find(const std::string& node,
                                           const std::string& node_modules);
};

}  // namespace rolling

#endif  // TESTS_ROLLING_FOREIGN_TOOLS_H_
