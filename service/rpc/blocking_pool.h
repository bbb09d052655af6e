#ifndef SERVICE_RPC_BLOCKING_POOL_H_
#define SERVICE_RPC_BLOCKING_POOL_H_

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"

namespace rpc {

// Threads for what may block: disks and databases.
//
// The problem: gRPC's callback API runs on very few threads for the whole process
// (clamp(cores / 2, 2, 16): grpc_library.cc and callback_common); two handlers
// that wait for a disk stop a small server, its health service included.
//
// Guarantees: work is started in the order in which it came, by `threads` threads
// (with one thread: one after the other). All work that Run() took is run. Work that throws
// is told of, and the others go on.
//
// Threads: all methods may be called from any thread, work may call Run().
class BlockingPool {
 public:
  // INTERNAL: work threw, and what. Called on the thread of that work, which has ended, and
  // whose caller waits for an answer that nobody gives: the process should stop. Unset:
  // std::terminate().
  using OnFailure = std::function<void(const absl::Status&)>;

  // `capacity`: how much work may wait before more is refused. Throws std::system_error when
  // there are no threads for it.
  BlockingPool(std::size_t threads, std::size_t capacity, OnFailure on_failure = nullptr);
  // As Close(), without limit.
  ~BlockingPool();
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  // Runs `work` later, on another thread. False, and `work` is dropped: too much
  // waits already, or the pool is closed. The caller then answers
  // RESOURCE_EXHAUSTED.
  [[nodiscard]] bool Run(std::function<void()> work);

  // Takes nothing new, runs what waits, ends the threads. DEADLINE_EXCEEDED: work
  // still ran at `deadline`; the pool must then not be destroyed.
  absl::Status Close(lifecycle::Clock::TimePoint deadline);

 private:
  void Work();
  // Requires: mutex_ is not held.
  void EndThreads();

  const std::size_t capacity_;
  const OnFailure on_failure_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable all_ended_;
  std::deque<std::function<void()>> waiting_;  // Guarded by mutex_.
  std::size_t running_threads_ = 0;            // Guarded by mutex_.
  bool closed_ = false;                        // Guarded by mutex_.
  std::vector<std::thread> threads_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_BLOCKING_POOL_H_
