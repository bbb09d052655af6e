#ifndef TESTS_COMMON_ORDER_RULES_H_
#define TESTS_COMMON_ORDER_RULES_H_

#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "tests/common/child_process.h"

namespace testkit {

// The rules that every shutdown keeps, checked in the output of a process: those of
// tests/model/shutdown.pml, by the same names, as far as a log can show them.
//
//   FORWARD         no phase comes twice, none comes after a later one, except for
//                   manual drains that were undone in their lame duck
//   IN_ITS_PHASE    each event is emitted in its own phase, ShutdownRequested in the one
//                   before it
//   LISTENER_FIRST  LameDuckEntered, ListenerClosed, ... Stopped, in the order of
//                   service/lifecycle/shutdown_sequence.h, ShutdownRequested where a
//                   manual drain notices it; no event is repeated
//   NOT_IN_USE      whatever uses an entry is closed before it
//   CLEAN           0 is for a shutdown without a warning; else the highest code of what
//                   went wrong; 2, 5 and 6 come with their last words
//   every_run_ends  nothing that belongs to the order is missing, unless the process
//                   was ended early; only an interrupt, and a shutdown of a process that never
//                   served, have no lame duck
//
// and, which the model does not need:
//
//   TOLD            the code in Stopped is the exit code of the process
//   TIME            moves forward, from 0 at the request
//
// What a log cannot show is checked by the model alone: AS_BEFORE, ANSWERED, CONNECTIONS_FIRST,
// GUARANTEED, NOT_TOO_SOON, EACH_HAS_ITS_TURN, DESTROYS_NOTHING_IN_USE, BITES_NO_PATIENCE,
// WITHIN_GRACE.

// Pairs of names in the registry: the first uses the second.
using Uses = std::vector<std::pair<std::string, std::string>>;

// The rules that `output`, of a process that ended in this way, breaks: each a sentence that begins
// with the rule's name; none: all is well. A process that was killed must keep the order as far as
// it got.
//
// Requires: the process had begun to shut down, or could not start; workers, savers and entries
// have distinct names. It reads the details of ShutdownRequested and Stopped.
std::vector<std::string> BrokenRules(const std::string& output, Ending ending,
                                     const Uses& uses = {});

// EXPECT_THAT(output, KeepsTheOrderOfAShutdown(Ending::Exited(0)));
MATCHER_P2(KeepsTheOrderOfAShutdown, ending, uses, "keeps the order of a shutdown") {
  const std::vector<std::string> broken = BrokenRules(arg, ending, uses);
  for (const std::string& rule : broken) *result_listener << "\n  " << rule;
  return broken.empty();
}

inline auto KeepsTheOrderOfAShutdown(Ending ending) {
  return KeepsTheOrderOfAShutdown(ending, Uses());
}

// Waits for the end of a shutdown, at most for `limit`, expects that what was written keeps
// the order, and returns how the process ended.
Ending AwaitShutdown(ChildProcess& process, std::chrono::milliseconds limit, const Uses& uses = {});

}  // namespace testkit

#endif  // TESTS_COMMON_ORDER_RULES_H_
