#ifndef SERVICE_RPC_CALLS_LIVE_COUNT_H_
#define SERVICE_RPC_CALLS_LIVE_COUNT_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <tuple>

#include "service/rpc/calls/spread.h"

namespace rpc {

// Counts live objects, such as running calls, without a cache line that all threads write to.
//
// Threads: any. An object's End() comes after its Begin(), possibly on another thread.
class LiveCount {
 public:
  void Begin() { ++mine().begun; }
  void End() { ++mine().ended; }

  // Whether more than `most` live. Reading the other threads' cache lines for every call would
  // defeat the purpose, so each thread reads them only now and then until it is true: it may become
  // true late, by a sixteenth of `most`.
  bool Exceeds(std::int64_t most) {
    const std::int64_t interval = most / std::int64_t{16 * std::tuple_size_v<decltype(shards_)>};
    static thread_local std::int64_t until_look = 0;  // It may be another count that set it.
    until_look = std::min(until_look - 1, interval);
    if (until_look > 0) return false;
    if (live() > most) return true;
    until_look = interval;
    return false;
  }

  // Never too low, whatever begins or ends meanwhile.
  std::int64_t live() const {
    std::int64_t live = 0;
    for (const Shard& shard : shards_) live -= shard.ended;
    for (const Shard& shard : shards_) live += shard.begun;
    return live;
  }

 private:
  struct alignas(64) Shard {
    std::atomic<std::int64_t> begun{0};
    std::atomic<std::int64_t> ended{0};
  };

  Shard& mine() { return shards_[ThisThread() % std::tuple_size_v<decltype(shards_)>]; }

  std::array<Shard, 16> shards_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_LIVE_COUNT_H_
