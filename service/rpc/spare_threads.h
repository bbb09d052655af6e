#ifndef SERVICE_RPC_SPARE_THREADS_H_
#define SERVICE_RPC_SPARE_THREADS_H_

#include "absl/status/status.h"

namespace rpc {

// How many threads gRPC may start for a server and its first calls: at most 16 for callbacks
// (CallbackAlternativeCQ), one per core in its event engine, a few timers, executors and pollers,
// and our own.
int ThreadsForAServer();

// Checks that this many more threads can be created now, by starting and ending them.
//
// The problem: gRPC aborts the process when it cannot create one (thread_manager.cc), which a start
// can neither catch nor roll back.
//
// Errors: RESOURCE_EXHAUSTED, naming the limits to check.
absl::Status CheckSpareThreads(int threads);

}  // namespace rpc

#endif  // SERVICE_RPC_SPARE_THREADS_H_
