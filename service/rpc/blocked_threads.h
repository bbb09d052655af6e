#ifndef SERVICE_RPC_BLOCKED_THREADS_H_
#define SERVICE_RPC_BLOCKED_THREADS_H_

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "service/lifecycle/clock.h"

namespace rpc {

// Notices that gRPC's threads are blocked.
//
// The problem: the callback API runs on clamp(cores / 2, 2, 16) threads for the whole
// process. Handlers that wait on so many of them stop everybody, the health service included,
// and nothing says why.
//
// So once in a while a call that cannot leave the process is made, on a channel that leads
// nowhere. gRPC tells of its failure on the same threads (completion_queue_cc.cc,
// CallbackAlternativeCQ); when they do not come to that within `limit`, `on_blocked` is called,
// at most once in kQuiet.
//
// Threads: `on_blocked` is called on a thread of its own; the destructor waits for it.
// Throws std::system_error when there is no thread.
class BlockedThreads {
 public:
  static constexpr std::chrono::minutes kQuiet{1};

  explicit BlockedThreads(std::function<void()> on_blocked,
                          lifecycle::Clock::Duration limit = std::chrono::seconds(1));

 private:
  struct Canary;

  void Watch(const std::stop_token& stop);

  const std::function<void()> on_blocked_;
  const lifecycle::Clock::Duration limit_;
  std::jthread thread_;  // Stopped and joined first.
};

}  // namespace rpc

#endif  // SERVICE_RPC_BLOCKED_THREADS_H_
