#ifndef SERVICE_RPC_FOLLOW_UP_H_
#define SERVICE_RPC_FOLLOW_UP_H_

#include <functional>

namespace grpc {
class CompletionQueue;
}

namespace rpc {

// Runs `report`, and then on the same thread what gRPC has to report because of it, as long as that
// happens at once.
//
// The problem: a write with a buffer hint has ended when StartWrite() returns. gRPC puts the report
// of its end into the server's completion queue and wakes another thread, which starts the next
// write: most of what a small message costs.
//
// gRPC keeps one report for the thread that caused it, when it is asked to
// (grpc_completion_queue_thread_local_cache_init() in grpc/grpc.h, of which
// grpc::CompletionQueue::DoThenAsyncNext() is made). A queue of another kind than that of gRPC 1.51's
// callback API keeps none; then this only runs `report`.
//
// Requires: `report` is what gRPC has called to report something, and does not block: what is kept
// waits for it. `queue` is that of a call of the callback API.
//
// Guarantees: nothing is kept once `report` has returned. What follows runs after it, with no lock
// held and no deeper in the stack. After kInARow others get their turn: so few that a call beside
// many busy streams hardly waits, and enough that waking a thread for them costs little.
constexpr int kInARow = 256;
void FollowUp(grpc::CompletionQueue* queue, const std::function<void()>& report);

}  // namespace rpc

#endif  // SERVICE_RPC_FOLLOW_UP_H_
