#ifndef SERVICE_RPC_LIVE_CALLS_H_
#define SERVICE_RPC_LIVE_CALLS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>

namespace rpc {

// The methods of the calls that are running, at the cost of one cache line per call.
//
// The problem: gRPC returns a unary call's context without its method, and a lock for each call is
// too expensive for something that only a shutdown wants to know.
//
// Threads: all methods may be called from any thread, without a lock; Begin() of a call comes
// before its End().
class LiveCalls {
 public:
  // Records a call. False: there is no room for it. `method` outlives the call.
  [[nodiscard]] bool Begin(const void* call, const char* method);

  // Removes a call, and returns its method; null when it was not recorded.
  const char* End(const void* call);

  // The method of every recorded call, in no particular order. One that begins or ends meanwhile
  // may be left out.
  void ForEach(const std::function<void(const char* method)>& do_this) const;

 private:
  struct Slot {
    std::atomic<const void*> call{nullptr};
    std::atomic<const char*> method{nullptr};
  };
  // As many slots as fit in a cache line; a call uses no other bucket.
  struct alignas(64) Bucket {
    std::array<Slot, 4> slots;
  };

  Bucket& BucketOf(const void* call);

  std::array<Bucket, 2048> buckets_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_LIVE_CALLS_H_
