#ifndef SERVICE_LIFECYCLE_CERTAIN_EXIT_H_
#define SERVICE_LIFECYCLE_CERTAIN_EXIT_H_

#include "service/lifecycle/clock.h"
#include "service/lifecycle/exit_code.h"

namespace lifecycle {

// Ends the process with `code` once `limit` is over, whatever hangs by then: a lock, the
// allocator, a disk, whoever reads stderr. Returns at once. When called again, the last
// call counts.
//
// For whoever leaves and has something to say before: the words may hang, too.
//
// Takes no lock and no memory: the kernel sends a signal (SIGALRM), and whichever thread
// takes it ends the process. So nobody else may use that signal; the calling thread does
// not block it any more.
//
// Threads: any.
void ExitAfter(Clock::Duration limit, ExitCode code);

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_CERTAIN_EXIT_H_
