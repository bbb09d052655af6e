#ifndef SERVICE_RPC_REACHABILITY_H_
#define SERVICE_RPC_REACHABILITY_H_

#include <functional>
#include <mutex>
#include <string>

#include "grpcpp/support/status.h"

namespace rpc {

// Says in the log when a backend cannot be reached, and when it can be again: one line for each
// change, with its address; and that a proxy is in the way when the environment names one, which
// gRPC connects through without a word. That it can be reached from the first is no news.
//
// Threads: all methods may be called from any thread; `write` must not block.
class Reachability {
 public:
  using Write = std::function<void(const std::string& line)>;

  // Nothing is known of `target` yet.
  Reachability(std::string target, Write write)
      : target_(std::move(target)), write_(std::move(write)) {}

  // A call has ended so.
  void Heard(const grpc::Status& status);

  // Somebody else has said in the log that it cannot be reached: writes nothing, but then it is news
  // that it can.
  void SaidUnreachable();

  // What such a line ends with: "; " and which proxy is in the way, or nothing.
  static std::string ProxyHint();

 private:
  enum class Last { kUnknown, kReachable, kUnreachable };

  void Is(Last now, const std::string& why);

  const std::string target_;
  const Write write_;
  std::mutex mutex_;            // Also held while a line is written: the last line is true.
  Last last_ = Last::kUnknown;  // Guarded by mutex_.
};

}  // namespace rpc

#endif  // SERVICE_RPC_REACHABILITY_H_
