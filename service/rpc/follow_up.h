#ifndef SERVICE_RPC_FOLLOW_UP_H_
#define SERVICE_RPC_FOLLOW_UP_H_

#include <functional>

namespace grpc {
class CompletionQueue;
}

namespace rpc {

// Has a thread go on with the operations that it has started, where gRPC would wake another one.
//
// The problem: a write with a buffer hint has ended when StartWrite() returns, and so has a read of a
// message that is there. gRPC puts the report of the end into the server's completion queue and wakes
// another thread, which starts what comes next: most of what a small message costs.
//
// gRPC keeps one report for the thread that caused it, when it is asked to
// (grpc_completion_queue_thread_local_cache_init() in grpc/grpc.h, of which
// grpc::CompletionQueue::DoThenAsyncNext() is made). A queue of another kind than that of gRPC 1.51's
// callback API keeps none; then all goes on as without this.

// Runs `report`, and then what was kept, as long as something is.
//
// Requires: `report` is what gRPC has called to report something: no lock is held.
void FollowUp(const std::function<void()>& report);

// Runs `start`, which starts an operation of a call of the callback API, whose queue this is; null: it
// is not known. Within FollowUp() on this thread, the report of what has ended at once is kept. Every
// kInARow-th is not: others get their turn.
constexpr int kInARow = 256;
void StartHere(grpc::CompletionQueue* queue, const std::function<void()>& start);

}  // namespace rpc

#endif  // SERVICE_RPC_FOLLOW_UP_H_
