#ifndef SERVICE_POSTGRES_ABANDONABLE_THREAD_H_
#define SERVICE_POSTGRES_ABANDONABLE_THREAD_H_

#include <chrono>
#include <functional>
#include <memory>

namespace postgres {

// A thread that its owner may abandon while it still runs.
//
// The problem: libpq blocks without a limit while it resolves a host name, and while it sends a
// cancel request to a server that does not answer. Nothing can interrupt it there, so nothing may
// wait for it without a limit.
//
// Requires: `work` owns all that it uses (shared pointers), because it may run until the process
// ends. What was not awaited before the process exits may meet the libraries' exit handlers, and
// crash there.
//
// Threads: one at a time. The destructor does not wait for `work`.
class AbandonableThread {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Throws std::system_error when a thread cannot be created.
  explicit AbandonableThread(std::function<void()> work);
  AbandonableThread(AbandonableThread&&) = default;
  AbandonableThread& operator=(AbandonableThread&& other) noexcept;
  ~AbandonableThread();

  // Waits until the thread is gone. False: `work` still runs at the deadline.
  bool Await(TimePoint deadline) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_ABANDONABLE_THREAD_H_
