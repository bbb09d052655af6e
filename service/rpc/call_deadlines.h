#ifndef SERVICE_RPC_CALL_DEADLINES_H_
#define SERVICE_RPC_CALL_DEADLINES_H_

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "grpc/grpc.h"
#include "grpcpp/server_context.h"
#include "service/rpc/limit_log.h"

namespace rpc {

// Bounds how long unary calls may run, whatever deadline their callers have set.
//
// The problem: gRPC accepts any deadline, and calls without one. A call whose caller waits for ever
// holds its handler, what that uses, and its place among --max_calls_in_flight for ever.
//
// Guarantees: a call whose deadline is more than `max` away, and one that has no deadline, is
// treated as if its caller had set the shorter one. Its context says so, and so does what is passed
// to backends. When it is over, the call is cancelled, and its caller gets DEADLINE_EXCEEDED. That
// happens late by a tenth of the limit at most, or by a tenth of a second.
//
// Streams are not bounded, because they are long-lived on purpose: the caller of this class leaves
// them out.
//
// It uses a private member of gRPC's server context, the deadline, through a pointer to it, which
// does not compile where it has another name.
//
// Cost: a lock and an entry for each call whose deadline is shortened, and a thread that looks
// through the entries at those intervals. Of a server without limits: none, it needs none of these.
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

  // `write` receives a line when a call is ended, one a minute at most; must not block.
  //
  // Throws std::system_error when a thread cannot be created.
  CallDeadlines(Limits limits, LimitLog::Write write);
  ~CallDeadlines();
  CallDeadlines(const CallDeadlines&) = delete;
  CallDeadlines& operator=(const CallDeadlines&) = delete;

  // A call begins: before its handler is called, and once its context is bound to it.
  void Begin(grpc::ServerContextBase& context, const char* method);
  // It has ended. Does nothing if its deadline was not shortened.
  void End(const void* context);

  // How many calls were ended.
  std::int64_t ended() const { return ended_.total(); }

  // How many running calls have their deadline from it.
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

  // Of a call that begins now; 0: its own is early enough.
  std::chrono::milliseconds Limit(gpr_timespec deadline) const;
  Shard& ShardOf(const void* context);
  void Run();
  void EndThoseThatAreOver(Shard& shard);

  const Limits limits_;
  const Clock::duration interval_;
  LimitLog ended_;
  std::array<Shard, 16> shards_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool over_ = false;  // Guarded by mutex_.
  std::thread thread_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CALL_DEADLINES_H_
