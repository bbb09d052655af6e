#ifndef SERVICE_POSTGRES_ABANDONABLE_THREAD_H_
#define SERVICE_POSTGRES_ABANDONABLE_THREAD_H_

#include <chrono>
#include <functional>
#include <memory>

namespace postgres {

// A thread that its owner may leave behind.
//
// The problem: libpq blocks without a limit where it asks for a host's address, and where it sends
// a cancellation to a server that does not answer. Nothing can interrupt it there, and nobody may
// wait for it.
//
// Requires: `work` uses only what it owns itself (shared pointers), since it may run for as long as
// the process lives. The destructor does not wait.
//
// Threads: one at a time.
class AbandonableThread {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // Throws std::system_error when a thread cannot be created.
  explicit AbandonableThread(std::function<void()> work);

  // Waits for the end of `work`. False: it still runs at the deadline.
  bool Await(TimePoint deadline) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace postgres

#endif  // SERVICE_POSTGRES_ABANDONABLE_THREAD_H_
