#ifndef SERVICE_RPC_CALLS_CALL_TRACKER_H_
#define SERVICE_RPC_CALLS_CALL_TRACKER_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "grpcpp/server_builder.h"
#include "grpcpp/server_context.h"
#include "grpcpp/support/server_interceptor.h"
#include "service/lifecycle/clock.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/calls/access_log.h"
#include "service/rpc/calls/call_deadlines.h"
#include "service/rpc/calls/call_stats.h"
#include "service/rpc/calls/live_calls.h"
#include "service/rpc/calls/live_count.h"
#include "service/rpc/calls/trace.h"

namespace rpc {

// Tracks the calls that a server is running, and every stream among them.
//
// The problem: a shutdown must know when no call is left, must not wait for endless calls to
// infrastructure services, and must cancel calls that do not end. An interceptor sees every call,
// but costs the server 13 to 15 % more instructions for each unary one, and a second trip through
// gRPC for each message of a stream (grpcpp/impl/call_op_set.h,
// ContinueFinalizeResultAfterInterception). So calls of the callback API are recorded when gRPC
// asks whether to intercept them, and again when gRPC returns their context. Only calls of the sync
// and async APIs, reflection and channelz among them, are intercepted.
//
// Guarantees: a call counts as running from before its handler is called until its handler is done
// with it, even if its caller left long before. running() is never too low, whatever begins and
// ends while it is read.
//
// It also adds the hint that the server is about to leave: the answer of a call that begins then
// carries `draining: 1` in its trailing metadata. gRPC asks for an interceptor on the thread that
// begins the call, before its handler can see the context, and sends the context's trailing
// metadata with the status, so nobody else writes there yet. Calls of the sync API and gRPC's own
// services get no hint.
//
// And it tells an access log of the calls, and gives each its span (trace.h). With which status a
// call ends is reported by its harness (SetStatus()), or else seen by an interceptor: calls to
// gRPC's own and to generic services have one, and those of a method until one of them has been
// reported. A method that reports only some of its calls has one as soon as that is noticed; the
// calls until then are logged as UNKNOWN.
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

  // Makes the server that `builder` builds report its calls. Call it once. `more`: interceptors
  // that run after the tracker's. `deadlines`: told of every unary call, which it bounds; null:
  // nobody does. `log`: told of every call when it has ended, before running() is lower; null: calls
  // are not logged and have no span. Both outlive the server.
  void Install(grpc::ServerBuilder& builder, InterceptorFactories more = {},
               CallDeadlines* deadlines = nullptr, AccessLog* log = nullptr);

  // How many calls of the server's own services are running, unary and streaming.
  int running() const { return static_cast<int>(calls_.live()); }

  // Whether more than `most` are running; may become true a little late (live_count.h).
  bool TooMany(int most) { return calls_.Exceeds(most); }

  // How many of them are streams.
  int streams() const { return static_cast<int>(streams_.live()); }

  // How many calls of gRPC's own services are running.
  int infrastructure() const { return static_cast<int>(infrastructure_.live()); }

  // Starts or stops hinting at calls that begin from now on. Resets hinted() when it starts.
  void Hint(bool on);

  // How many calls got the hint since Hint(true).
  std::int64_t hinted() const { return hinted_; }

  // Starts or stops counting ended calls by method, which is too expensive to do all the time.
  // Forgets earlier counts either way.
  void CountByMethod(bool on);

  // The calls that have ended since CountByMethod(true), and those that are running. Waits for no
  // handler: streams in a locked shard are left out. For calls that the callback API does not
  // serve, only whether CancelAll() ended them is known. Names are those of the server's methods;
  // calls to a generic service, whose callers invent names, are named "".
  lifecycle::CallTally TryTally();

  // The status with which a call will end. `call`: its grpc::ServerContextBase, which is there until
  // this returns. Waits for no lock.
  void SetStatus(const void* call, int status);

  // All calls of the server's own services so far. A call that was cancelled ended with CANCELLED,
  // or with DEADLINE_EXCEEDED if its deadline was over, whatever its handler said.
  CallStats::Snapshot Stats() const { return stats_.Look(); }

  // Cancels every stream through its own context. A stream that begins later is not cancelled. One of
  // the callback API whose status has left is not yet gone, and still ends with that status.
  void CancelAll() { Cancel(/*only_infrastructure=*/false); }
  // The same for calls of gRPC's own services only, which wait for nothing but their callers.
  void CancelInfrastructure() { Cancel(/*only_infrastructure=*/true); }

  // Every connection is about to be cut: calls that end from now on were cancelled, also those of which
  // gRPC says that their status was sent. It says so once it has serialised it, before it has been
  // written (grpc/grpc: writing.cc, SentLastFrame()), and a peer that does not read may never get it.
  void CutsConnections() { cuts_connections_ = true; }

 private:
  struct Call {
    const char* method;  // Outlives the call. "": its caller has invented it.
    lifecycle::Clock::TimePoint begun{};
    bool infrastructure = false;
    bool stream = false;
    bool cut = false;          // Cancel() has cancelled it, perhaps after its status had left.
    CallSpan* span = nullptr;  // Null: it is not logged. Lives as long as the call.
  };

  // How a call ended.
  struct Outcome {
    bool cancelled;
    int status;  // What its caller has seen.
    lifecycle::Clock::TimePoint at = lifecycle::Clock::Steady().Now();
  };

  struct Running {
    Call call;
    grpc::ServerContextBase* context;
  };

  // Sharded, so that calls that begin and end on different cores do not compete for one mutex.
  struct alignas(64) Shard {
    // Recursive because TryCancel() may end the call, and so erase it, before it returns.
    std::recursive_mutex mutex;
    // Guarded by mutex. By what no other call has while this one runs.
    std::unordered_map<const void*, Running> calls;
  };

  // By name.
  using Methods = std::map<std::string, lifecycle::CallTally::Method>;

  // Ended calls by method; sharded for the same reason. Does not use a Shard's mutex, which
  // CancelAll() holds while handlers run.
  struct alignas(64) Ended {
    std::mutex mutex;  // Never held while anything can block.
    Methods methods;   // Guarded by mutex.
  };

  class Interceptor;
  class Intercepts;
  class StatusInterceptor;
  class Records;
  class Releases;

  static Call CallOf(grpc::experimental::ServerRpcInfo& info);
  static const char* StatsName(const Call& call);
  // A call's time begins and ends to be bounded.
  void Bound(grpc::ServerContextBase& context, const Call& call);
  void Unbound(const void* context);
  Shard& ShardOf(const void* key);
  void Enter(const void* key, grpc::ServerContextBase& context, const Call& call);
  // Returns the call that was entered.
  Call Leave(const void* key);
  // `reported`: the status that its harness has sent.
  Outcome OutcomeOf(const grpc::ServerContextBase& context, const Call& call, int reported) const;
  void Begin(const Call& call);
  // Its span begins; with an interceptor if it needs one to learn its status. Requires: log_.
  std::unique_ptr<StatusInterceptor> BeginSpan(grpc::ServerContextBase& context, Call& call);
  void Log(const grpc::ServerContextBase& context, const Call& call, const Outcome& outcome);
  void Log(EndedCall ended, const Call& call, const Outcome& outcome);
  void End(const void* key, const Call& call, const Outcome& outcome);
  // Requires: counting_.
  void Count(const void* key, const Call& call, bool cancelled);
  void Cancel(bool only_infrastructure);
  static lifecycle::CallTally::Method& RowOf(const std::string& method, Methods& methods);

  std::array<Shard, 16> shards_;
  LiveCount calls_;
  LiveCount streams_;  // Also counted among calls_.
  LiveCount infrastructure_;
  CallDeadlines* deadlines_ = nullptr;  // Null: nobody bounds calls. Set before any call begins.
  AccessLog* log_ = nullptr;            // Null: nobody logs calls. Set before any call begins.
  std::atomic<bool> hinting_{false};
  std::atomic<std::int64_t> hinted_{0};

  LiveCalls unary_;     // Those that have found room there; all others are in a shard.
  LiveCalls statuses_;  // Of those in a shard that have found room here.
  CallStats stats_;
  std::atomic<bool> counting_{false};
  std::atomic<bool> cuts_connections_{false};
  std::atomic<std::int64_t> streams_ended_{0};
  std::atomic<std::int64_t> streams_cut_{0};
  std::array<Ended, 16> ended_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_CALL_TRACKER_H_
