#ifndef SERVICE_RPC_STREAM_TRACKER_H_
#define SERVICE_RPC_STREAM_TRACKER_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <mutex>

#include "grpcpp/server_context.h"
#include "grpcpp/support/server_interceptor.h"

namespace rpc {

// Knows every stream that runs on a server: ours, and those of health and
// reflection, whichever API serves them.
//
// The problem: the shutdown must tell how many streams there are, must not wait
// for endless ones that belong to nobody's work, and must cancel what does not
// end. An interceptor sees every call, but costs a unary one an eighth of its
// time; so it is made for streams alone, and unary calls are counted by channelz
// (call_counts.h).
//
// Threads: all methods may be called from any thread.
// Lifetime: outlives the server it is installed in.
class StreamTracker {
 public:
  StreamTracker() = default;
  StreamTracker(const StreamTracker&) = delete;
  StreamTracker& operator=(const StreamTracker&) = delete;

  // For ServerBuilder::experimental().SetInterceptorCreators().
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> NewInterceptorFactory();

  // Streams of the services that this process is for.
  int streams() const { return streams_; }

  // Streams of gRPC's own services (/grpc.*): health watches and reflection.
  int infrastructure_streams() const { return infrastructure_streams_; }

  // Cancels every stream through its own context. A stream that begins later is
  // not cancelled.
  void CancelAll();

 private:
  // One stream's place in its list; lives in the stream's interceptor.
  struct Link {
    Link* previous = this;
    Link* next = this;
    grpc::ServerContextBase* context = nullptr;
    bool infrastructure = false;

    void InsertBefore(Link& place);
    void Remove();
  };

  // Lists of their own, so that streams that begin and end on different cores do
  // not meet at one mutex.
  struct alignas(64) Shard {
    // Recursive, because TryCancel() may end the call, and so unlink it, before it
    // returns.
    std::recursive_mutex mutex;
    Link running;    // Guarded by mutex.
    Link cancelled;  // Guarded by mutex.
  };

  class Interceptor;
  class Factory;

  Shard& ShardOf(const Link& link);
  void Enter(Link& link);
  void Leave(Link& link);

  std::array<Shard, 16> shards_;
  std::atomic<int> streams_{0};
  std::atomic<int> infrastructure_streams_{0};
};

}  // namespace rpc

#endif  // SERVICE_RPC_STREAM_TRACKER_H_
