#ifndef TESTS_PROCESS_FAULTY_SERVER_USES_H_
#define TESTS_PROCESS_FAULTY_SERVER_USES_H_

#include "tests/common/order_rules.h"

namespace process_test {

// The uses between the entries in faulty_server.cc's registry.
inline const testkit::Uses kFaultyUses = {{"pool", "database"},
                                          {"pool", "channel"},
                                          {"database", "files"},
                                          {"channel", "files"},
                                          {"files", "operators"}};

}  // namespace process_test

#endif  // TESTS_PROCESS_FAULTY_SERVER_USES_H_
