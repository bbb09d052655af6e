#ifndef SERVICE_RPC_CALLS_CALL_DEADLINES_H_
#define SERVICE_RPC_CALLS_CALL_DEADLINES_H_

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "grpc/grpc.h"
#include "grpcpp/server_context.h"
#include "service/rpc/calls/limit_log.h"

namespace rpc {

// Bounds how long unary calls may run, whatever deadline their callers have set.
//
// The problem: gRPC accepts any deadline, and calls without one. A call whose caller waits forever
// keeps its handler, the handler's resources, and its place among --max_calls_in_flight forever.
//
// Guarantees: a call without a deadline, or with one more than `max` away, is treated as if its
// caller had set the shorter one, which its context shows and which is passed on to backends. When
// it passes, the call is cancelled, and its caller gets DEADLINE_EXCEEDED: late by at most a tenth
// of the limit or a tenth of a second.
//
// Streams are long-lived on purpose and have no such limit: callers of this class leave them out.
//
// It uses a private member of gRPC's server context, the deadline, through a pointer to it, which
// does not compile where it has another name.
//
// Cost: a lock and an entry for each call whose deadline is shortened, and a thread that scans the
// entries at those intervals. A server without limits needs no CallDeadlines.
//
// Threads: all methods may be called from any thread; it has its own thread until it is destroyed.
// Lifetime: outlives the server whose calls it knows.
class CallDeadlines {
 public:
  // 0: no limit.
  struct Limits {
    std::chrono::milliseconds max{0};
    // For calls without a deadline; 0: `max`.
    std::chrono::milliseconds when_unset{0};

    bool any() const { return max.count() > 0 || when_unset.count() > 0; }
  };

  // `write` receives a line when a call is ended (log()). `ends` receives the caller's
  // address, as grpc_call_get_peer() writes it, before its call is ended. Neither may block.
  //
  // Throws std::system_error when a thread cannot be created.
  CallDeadlines(Limits limits, LimitLog::Write write,
                std::function<void(const std::string& peer)> ends = {});
  ~CallDeadlines();
  CallDeadlines(const CallDeadlines&) = delete;
  CallDeadlines& operator=(const CallDeadlines&) = delete;

  // A call begins. Requires: its context is bound to it, and its handler has not been called.
  void Begin(grpc::ServerContextBase& context, const char* method);
  // The call has ended. Does nothing if its deadline was not shortened.
  void End(const void* context);

  // How many calls were ended.
  std::int64_t ended() const { return ended_.total(); }

  LimitLog& log() { return ended_; }

  // How many running calls have a deadline that was set here.
  int bounded();

 private:
  using Clock = std::chrono::steady_clock;
  struct Running {
    grpc_call* call;  // Referenced.
    std::string method;
    Clock::time_point deadline;
  };
  // Sharded, so that calls on different cores do not compete for one mutex.
  struct alignas(64) Shard {
    std::mutex mutex;
    std::unordered_map<const void*, Running> calls;  // Guarded by mutex. By context.
  };

  // The time that a call gets that begins now; 0: its own deadline is early enough.
  std::chrono::milliseconds Limit(gpr_timespec deadline) const;
  Shard& ShardOf(const void* context);
  void Run();
  void EndThoseThatAreOver(Shard& shard);

  const Limits limits_;
  const Clock::duration interval_;
  const std::function<void(const std::string& peer)> ends_;
  LimitLog ended_;
  std::array<Shard, 16> shards_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;  // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_CALL_DEADLINES_H_
