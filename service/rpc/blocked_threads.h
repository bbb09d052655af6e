#ifndef SERVICE_RPC_BLOCKED_THREADS_H_
#define SERVICE_RPC_BLOCKED_THREADS_H_

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "service/lifecycle/clock.h"

namespace rpc {

// Detects that gRPC's callback threads serve nobody, for a server that tells of its calls.
//
// The problem: the callback API runs on clamp(cores / 2, 2, 16) threads for the whole process.
// Handlers that block all of them stop every call, including health checks, and nothing says why.
// Newer gRPC, 1.83 for one, makes more threads: only the connection stands still whose handler
// blocks, and nothing is detected.
//
// So a call that never leaves the process is made periodically, on a channel without credentials.
// gRPC reports its failure on the same threads (completion_queue_cc.cc, CallbackAlternativeCQ); when
// they do not report it in time, `on_blocked` is called, at most once per kQuiet.
//
// It cannot see what keeps them. If any server's call is running, a handler may block. If none is,
// peers may keep the threads reading, with a flood of frames for one, and that ends by itself; or a
// callback of a client blocks, and then no call can begin either: gRPC counts one on these threads. Only
// time tells the two apart.
//
// There is one watch for the process, as the threads are the process's: only one server's
// `on_blocked` is called, and told of the calls of all.
//
// Threads: `on_blocked` is called on a thread of its own, and none of gRPC's waits for it; the
// constructor and the destructor do, also for another server's. Throws std::system_error when a thread
// cannot be created.
class BlockedThreads {
 public:
  static constexpr std::chrono::minutes kQuiet{1};

  // The server's running calls, for people; empty: none. Called on the thread of `on_blocked`; waits
  // for no handler.
  using Running = std::function<std::string()>;
  // `running`: those of all servers; empty: none.
  using OnBlocked = std::function<void(const std::string& running)>;

  // How long they may take to report a call.
  struct Limits {
    lifecycle::Clock::Duration blocked = std::chrono::seconds(1);
    // Behind it, they hardly come back by themselves.
    lifecycle::Clock::Duration for_long = kQuiet;
  };

  // `limits`: those of the first server of the process count.
  BlockedThreads(Running running, OnBlocked on_blocked, Limits limits);
  ~BlockedThreads();
  BlockedThreads(const BlockedThreads&) = delete;
  BlockedThreads& operator=(const BlockedThreads&) = delete;

  // Whether the threads serve nobody now. May be called from any thread.
  bool blocked() const;
  // Whether they have served nobody for longer than Limits::for_long. May be called from any thread.
  bool blocked_for_long() const;

 private:
  struct Canary;
  class Watch;

  const Running running_;
  const OnBlocked on_blocked_;
  const std::shared_ptr<Watch> watch_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_BLOCKED_THREADS_H_
