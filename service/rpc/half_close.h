#ifndef SERVICE_RPC_HALF_CLOSE_H_
#define SERVICE_RPC_HALF_CLOSE_H_

#include <functional>

namespace grpc {
class ServerContextBase;
}

namespace rpc {

// Tells a caller that has sent all its messages from one whose call has failed.
//
// The problem: for a caller who has left, or has sent too large a message, gRPC's callback API reports
// OnReadDone(false) as it does after the last message, and calls OnCancel() later. Whoever believes it
// takes the part of an upload that has arrived for all of it.
//
// gRPC itself knows: behind the last message, a read succeeds and has no message; in a call that has
// failed, it fails, or the call says so (grpc_call_failed_before_recv_message() in grpc/grpc.h). So
// this reads once more, below the C++ API, which drops the difference (CallOpRecvMessage in
// grpcpp/impl).
//
// gRPC 1.51 takes a message that the end of the stream cuts short for the end as well: whoever sends
// less than a message's length and END_STREAM has half-closed. Only who counts the messages, as the
// caller of an upload can, notices.
//
// Calls `tell` once, on one of gRPC's threads, possibly when the call is already over.
//
// Requires: OnReadDone(false) was called for this call of the callback API, which is not over.
void AskForHalfClose(grpc::ServerContextBase& context, std::function<void(bool half_closed)> tell);

}  // namespace rpc

#endif  // SERVICE_RPC_HALF_CLOSE_H_
