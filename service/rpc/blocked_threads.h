#ifndef SERVICE_RPC_BLOCKED_THREADS_H_
#define SERVICE_RPC_BLOCKED_THREADS_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "service/lifecycle/clock.h"

namespace rpc {

// Detects that handlers block all of gRPC's callback threads.
//
// The problem: the callback API runs on clamp(cores / 2, 2, 16) threads for the whole process.
// Handlers that block all of them stop every call, including health checks, and nothing says why.
// Newer gRPC, 1.83 for one, makes more threads: only the connection stands still whose handler
// blocks, and nothing is detected.
//
// So a call that never leaves the process is made periodically, on a channel without credentials.
// gRPC reports its failure on the same threads (completion_queue_cc.cc, CallbackAlternativeCQ); when
// they do not report it within `limit`, `on_blocked` is called, at most once per kQuiet.
//
// Threads: `on_blocked` is called on a thread of its own, and none of gRPC's waits for it; the
// destructor does. Throws std::system_error when a thread cannot be created.
class BlockedThreads {
 public:
  static constexpr std::chrono::minutes kQuiet{1};

  explicit BlockedThreads(std::function<void()> on_blocked,
                          lifecycle::Clock::Duration limit = std::chrono::seconds(1));

  // Whether the threads are blocked now. May be called from any thread.
  bool blocked() const { return blocked_; }

 private:
  struct Canary;

  void Watch(const std::stop_token& stop);

  const std::function<void()> on_blocked_;
  const lifecycle::Clock::Duration limit_;
  std::atomic<bool> blocked_{false};
  std::jthread thread_;  // Stopped and joined first.
};

}  // namespace rpc

#endif  // SERVICE_RPC_BLOCKED_THREADS_H_
