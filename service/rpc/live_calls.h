#ifndef SERVICE_RPC_LIVE_CALLS_H_
#define SERVICE_RPC_LIVE_CALLS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <functional>

namespace rpc {

// Which calls run, and of which method, at the price of one cache line a call.
//
// The problem: gRPC gives a unary call's context back without its method, and a lock
// for each call is too dear for what only a shutdown wants to know.
//
// Threads: all methods may be called from any thread, without a lock; Begin() of a
// call comes before its End().
class LiveCalls {
 public:
  // Notes a call. False: there is no place for it. `method` outlives the call.
  [[nodiscard]] bool Begin(const void* call, const char* method);

  // Forgets a call, and returns its method; null when it was not noted.
  const char* End(const void* call);

  // The method of every call that is noted, in no order. One that begins or ends
  // meanwhile may be left out.
  void ForEach(const std::function<void(const char* method)>& do_this) const;

 private:
  struct Slot {
    std::atomic<const void*> call{nullptr};
    std::atomic<const char*> method{nullptr};
  };
  // As many as fit in a cache line: a call looks nowhere else.
  struct alignas(64) Bucket {
    std::array<Slot, 4> slots;
  };

  Bucket& BucketOf(const void* call);

  std::array<Bucket, 2048> buckets_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_LIVE_CALLS_H_
