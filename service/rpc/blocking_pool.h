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

// A thread pool for work that may block, such as disk and database access.
//
// The problem: gRPC's callback API runs on very few threads for the whole process (clamp(cores / 2,
// 2, 16): grpc_library.cc and callback_common). Two handlers that wait for a disk stop a small
// server, including its health service.
//
// Under more load than it can serve, a queue that takes everything ends with working only for
// callers who have given up. So it is bounded in time: while the oldest work waits longer than
// `max_wait`, new work is refused at once, and its caller may go elsewhere. And work that has begun
// is finished first: its next step (Continue()) waits in front of all that has not begun.
//
// Guarantees: work starts in the order in which it was submitted, what is continued before what is
// new, on `threads` threads (with one thread: strictly one after another). All work that was
// accepted is run. Work that throws is reported, and the rest continues.
//
// Threads: all methods may be called from any thread, and work may call Run().
class BlockingPool {
 public:
  // INTERNAL: work threw; the message says what. Called on the thread of that work, which has not
  // done what it was for: the process should shut down. What the work has captured goes then, and of
  // an Answer or a StreamHold in it the caller gets INTERNAL. Unset: std::terminate().
  using OnFailure = std::function<void(const absl::Status&)>;

  // Requires: `threads` is not 0. `capacity`: how much work may wait; more is refused. `max_wait`:
  // see above; by default it is not bounded in time. Throws std::system_error, which says so, when a
  // thread cannot be created.
  BlockingPool(std::size_t threads, std::size_t capacity, OnFailure on_failure = nullptr,
               lifecycle::Clock::Duration max_wait = lifecycle::Clock::Duration::max(),
               lifecycle::Clock& clock = lifecycle::Clock::Steady());
  // Like Close(), without a limit.
  ~BlockingPool();
  BlockingPool(const BlockingPool&) = delete;
  BlockingPool& operator=(const BlockingPool&) = delete;

  // Runs `work` later, on another thread. False, and `work` is dropped: the queue is full, what is
  // in it has waited too long, or the pool is closed; the caller then answers RESOURCE_EXHAUSTED.
  [[nodiscard]] bool Run(std::function<void()> work);

  // The same for the next step of work that Run() has accepted earlier, so what it holds already
  // (stock that is reserved, a place in a stream) is not given up for want of a place in the queue.
  // False only when the pool is closed.
  [[nodiscard]] bool Continue(std::function<void()> work);

  // Accepts no more work, runs what is queued, ends the threads. DEADLINE_EXCEEDED: work was still
  // running at `deadline`; then the pool must not be destroyed.
  absl::Status Close(lifecycle::Clock::TimePoint deadline);

 private:
  struct Waiting {
    std::function<void()> work;
    lifecycle::Clock::TimePoint since;
  };

  void Work();
  bool IsEmpty() const { return continued_.empty() && waiting_.empty(); }
  std::function<void()> TakeNext();
  // Requires: mutex_ is not held.
  void EndThreads();

  const std::size_t capacity_;
  const OnFailure on_failure_;
  const lifecycle::Clock::Duration max_wait_;
  lifecycle::Clock& clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::condition_variable all_ended_;
  std::deque<std::function<void()>> continued_;  // Guarded by mutex_.
  std::deque<Waiting> waiting_;                  // Guarded by mutex_.
  std::size_t running_threads_ = 0;              // Guarded by mutex_.
  bool closed_ = false;                          // Guarded by mutex_.
  std::vector<std::thread> threads_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_BLOCKING_POOL_H_
