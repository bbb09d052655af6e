#ifndef TESTS_COMMON_OWN_NAMESPACE_H_
#define TESTS_COMMON_OWN_NAMESPACE_H_

#include <string>

namespace testkit {

// Namespaces (namespaces(7)) of the process' own, in which it may mount, or switch the network
// off, and nobody else notices: as root, or as anybody where user namespaces are allowed. In
// those, whoever runs the test is root.
//
// A default container gives neither. What cannot be shown without is skipped there, with what
// these functions say; .ci/run takes a skip for a failure.
//
// Return what is missing, and how to give it; "" when nothing is.
//
// Requires: called before the first thread exists, in main().
std::string GetOwnMounts();
// With nothing in it but loopback, which is switched off.
std::string GetOwnNetwork();

}  // namespace testkit

#endif  // TESTS_COMMON_OWN_NAMESPACE_H_
