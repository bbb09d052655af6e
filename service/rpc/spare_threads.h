#ifndef SERVICE_RPC_SPARE_THREADS_H_
#define SERVICE_RPC_SPARE_THREADS_H_

#include "absl/status/status.h"

namespace rpc {

// How many threads gRPC may start for a server and its first calls: 16 for callbacks at most
// (CallbackAlternativeCQ), one for each core in its event engine, and a few timers, executors
// and pollers, with ours beside them.
int ThreadsForAServer();

// Whether so many more threads are to be had at this moment: starts them, and ends them.
//
// The problem: gRPC aborts the process where it lacks one (thread_manager.cc), which a start can
// neither catch nor roll back.
//
// Errors: RESOURCE_EXHAUSTED, with the limits to look at.
absl::Status CheckSpareThreads(int threads);

}  // namespace rpc

#endif  // SERVICE_RPC_SPARE_THREADS_H_
