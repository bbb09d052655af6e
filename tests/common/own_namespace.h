#ifndef TESTS_COMMON_OWN_NAMESPACE_H_
#define TESTS_COMMON_OWN_NAMESPACE_H_

#include <string>

namespace testkit {

// Namespaces (namespaces(7)) of the process's own, in which it may mount, or switch the network
// off, without affecting anybody else: as root, or as any user where user namespaces are allowed.
// In those, the user who runs the test is root.
//
// A default container allows neither. Tests that need them are skipped there, with the message that
// these functions return; .ci/run treats a skip as a failure.
//
// Return what is missing, and how to provide it; "" when nothing is.
//
// Requires: called in main(), before the first thread exists.
std::string GetOwnMounts();
// With nothing in it but loopback, which is down.
std::string GetOwnNetwork();

}  // namespace testkit

#endif  // TESTS_COMMON_OWN_NAMESPACE_H_
