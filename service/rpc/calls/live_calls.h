#ifndef SERVICE_RPC_CALLS_LIVE_CALLS_H_
#define SERVICE_RPC_CALLS_LIVE_CALLS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>

#include "service/lifecycle/clock.h"
#include "service/rpc/calls/call_stats.h"

namespace rpc {

// The methods of the calls that are running, and since when, at the cost of a cache line or two per
// call.
//
// The problem: gRPC returns a unary call's context without its method, and a lock for each call is
// too expensive for something that only a shutdown wants to know.
//
// Threads: all methods may be called from any thread, without a lock; Begin() of a call comes
// before its End().
class LiveCalls {
 public:
  struct Entry {
    const char* method = nullptr;
    lifecycle::Clock::TimePoint begun{};
    int status = CallStats::kNotReported;
  };

  // Records a call. False: there is no room for it. `method` outlives the call.
  [[nodiscard]] bool Begin(const void* call, const char* method,
                           lifecycle::Clock::TimePoint begun = {});

  // Sets the status of a call. False: it is not recorded.
  bool SetStatus(const void* call, int status);

  // Removes a call, and returns what was recorded; without a method: nothing was.
  Entry End(const void* call);

  // The method of every recorded call, in no particular order. One that begins or ends meanwhile
  // may be left out.
  void ForEach(const std::function<void(const char* method)>& do_this) const;

 private:
  struct Slot {
    std::atomic<const void*> call{nullptr};
    std::atomic<const char*> method{nullptr};
    std::atomic<lifecycle::Clock::TimePoint> begun{lifecycle::Clock::TimePoint()};
    std::atomic<int> status{CallStats::kNotReported};
  };
  // A call uses no other bucket.
  struct alignas(64) Bucket {
    std::array<Slot, 4> slots;
  };

  Bucket& BucketOf(const void* call);

  std::array<Bucket, 2048> buckets_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_LIVE_CALLS_H_
