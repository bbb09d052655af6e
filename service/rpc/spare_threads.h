#ifndef SERVICE_RPC_SPARE_THREADS_H_
#define SERVICE_RPC_SPARE_THREADS_H_

#include "absl/status/status.h"

namespace rpc {

// What limits them, for an operator's message.
inline constexpr char kThreadLimits[] = "ulimit -u, -v and -d, the control group's pids.max";

// How many threads gRPC may start for a server and its first calls: at most 16 for callbacks
// (CallbackAlternativeCQ), one per core in its event engine, two per core in its executor, a few
// timers and pollers, and our own. Of those that there are for each core, 64 are counted at most,
// and none once StartThreadsOfExecutor() was called.
int ThreadsForAServer();

// Checks that this many more threads can be created now, by starting and ending them.
//
// The problem: gRPC aborts the process when it cannot create one (thread_manager.cc), which a start
// can neither catch nor roll back.
//
// Errors: RESOURCE_EXHAUSTED, naming the limits to check.
absl::Status CheckSpareThreads(int threads);

// Starts the threads that gRPC's executor would start when work waits, while it is known that they
// can be created: call it soon after CheckSpareThreads(ThreadsForAServer()). Does not wait. Once in a
// process; then it does nothing.
//
// The problem: the executor counts a thread that it could not create, and gives it work, which is
// never done (grpc/grpc: executor.cc, Enqueue()): calls hang without a word. Newer gRPC, 1.83 for
// one, has no such executor.
//
// Requires: grpc_init(). On a machine with more than 32 cores it starts a part of them.
void StartThreadsOfExecutor();

}  // namespace rpc

#endif  // SERVICE_RPC_SPARE_THREADS_H_
