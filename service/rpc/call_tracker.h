#ifndef SERVICE_RPC_CALL_TRACKER_H_
#define SERVICE_RPC_CALL_TRACKER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "grpcpp/server_builder.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_interceptor.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/live_calls.h"
#include "service/rpc/live_count.h"

namespace rpc {

// Knows how many calls a server runs, and every stream among them.
//
// The problem: the shutdown must tell when no call is left, must not wait for
// endless ones that belong to nobody's work, and must cancel what does not end. An
// interceptor sees every call, but costs the server 13 to 15 % more instructions for a
// unary one. So that is counted when gRPC asks whether it should get one, and when gRPC
// gives its context back; streams, and gRPC's own calls (health, reflection, channelz),
// do get one.
//
// Guarantees: a call counts as running from before its handler is called until its
// handler is done with it, also when its caller has gone long before. running() is
// never too small, whatever begins and ends while it is read.
//
// The same place hints callers that the server is about to leave: the answer of a
// call that begins then carries `draining: 1` in its trailing metadata. gRPC asks
// for an interceptor on the thread that begins the call, before its handler can
// see the context, and sends the context's trailing metadata with the status, so
// nobody else writes there yet. Calls of the sync API and gRPC's own get no hint.
//
// Threads: all methods may be called from any thread.
// Lifetime: outlives the server that it is installed in.
class CallTracker {
 public:
  CallTracker() = default;
  ~CallTracker();
  CallTracker(const CallTracker&) = delete;
  CallTracker& operator=(const CallTracker&) = delete;

  using InterceptorFactories =
      std::vector<std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface>>;

  // Has the server that `builder` builds tell of its calls. Once. `more`: interceptors
  // that come behind the tracker's.
  void Install(grpc::ServerBuilder& builder, InterceptorFactories more = {});

  // How many calls run of the services that this process is for: unary calls and streams.
  int running() const { return static_cast<int>(calls_.live()); }

  // Whether more than `most` run; may be true a little late (live_count.h).
  bool TooMany(int most) { return calls_.Exceeds(most); }

  // The streams among them.
  int streams() const { return static_cast<int>(streams_.live()); }

  // How many calls run of gRPC's own services.
  int infrastructure() const { return static_cast<int>(infrastructure_.live()); }

  // Hints, or not, each call that begins from now on. Counts anew when it begins to.
  void Hint(bool on);

  // How many calls were hinted since Hint(true).
  std::int64_t hinted() const { return hinted_; }

  // Counts by method what ends from now on, or nothing: it is too dear to be done
  // always. Forgets what it had counted when it begins or ends.
  void CountByMethod(bool on);

  // What has ended since CountByMethod(true), and what runs. Waits for no handler:
  // streams in a shard that is locked are left out. Of a call that the callback API does
  // not serve it is known only whether CancelAll() ended it. Names are those of methods
  // that the server has; calls of a generic service, whose callers make names up, are
  // named "".
  lifecycle::CallTally TryTally();

  // Cancels every stream through its own context. A stream that begins later is
  // not cancelled.
  void CancelAll() { Cancel(/*only_infrastructure=*/false); }
  // The same for calls of gRPC's own services only, which wait for nothing but their
  // callers.
  void CancelInfrastructure() { Cancel(/*only_infrastructure=*/true); }

 private:
  // One call's place in its list; lives in the call's interceptor.
  struct Link {
    Link* previous = this;
    Link* next = this;
    grpc::ServerContextBase* context = nullptr;
    // Null for gRPC's own services. Lives as long as the link.
    const std::string* method = nullptr;
    bool cut = false;  // CancelAll() has cancelled it. Guarded by the shard's mutex.

    void InsertBefore(Link& place);
    void Remove();
  };

  // Lists of their own, so that calls that begin and end on different cores do not
  // meet at one mutex.
  struct alignas(64) Shard {
    // Recursive, because TryCancel() may end the call, and so unlink it, before it
    // returns.
    std::recursive_mutex mutex;
    Link running;    // Guarded by mutex.
    Link cancelled;  // Guarded by mutex.
  };

  // By name.
  using Methods = std::map<std::string, lifecycle::CallTally::Method>;

  // What has ended, by method. Several, for the same reason; and no shard's mutex,
  // which CancelAll() holds while handlers run.
  struct alignas(64) Ended {
    std::mutex mutex;  // Held for nothing that can block.
    Methods methods;   // Guarded by mutex.
  };

  class Interceptor;
  class Factory;
  class Releases;

  void Cancel(bool only_infrastructure);
  Shard& ShardOf(const Link& link);
  void Enter(Link& link);
  void Leave(Link& link);

  // `call` has ended. Requires: counting_.
  void Count(const void* call, const std::string& method, bool cancelled);
  static lifecycle::CallTally::Method& RowOf(const std::string& method, Methods& methods);

  std::array<Shard, 16> shards_;
  LiveCount calls_;
  LiveCount streams_;  // Also counted among calls_.
  LiveCount infrastructure_;
  std::atomic<bool> hinting_{false};
  std::atomic<std::int64_t> hinted_{0};

  LiveCalls unary_;  // Those that get no interceptor.
  std::atomic<bool> counting_{false};
  std::atomic<std::int64_t> streams_ended_{0};
  std::atomic<std::int64_t> streams_cut_{0};
  std::array<Ended, 16> ended_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CALL_TRACKER_H_
