#ifndef TESTS_ROLLING_BUF_CALLER_H_
#define TESTS_ROLLING_BUF_CALLER_H_

#include <stop_token>

#include "tests/rolling/evidence.h"
#include "tests/rolling/foreign_tools.h"
#include "tests/rolling/tally.h"
#include "tests/rolling/target.h"

namespace rolling {

// Places orders with `buf curl`: a process and a connection for each call, as a person would from a
// shell.
void PlaceWithBuf(const ForeignTools& tools, const Target& target, Tally& tally, Evidence& evidence,
                  const std::stop_token& stop);

}  // namespace rolling

#endif  // TESTS_ROLLING_BUF_CALLER_H_
