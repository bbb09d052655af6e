#ifndef SERVICE_RPC_BACKEND_CHANNEL_H_
#define SERVICE_RPC_BACKEND_CHANNEL_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "service/lifecycle/clock.h"

namespace rpc {

// The connection to one backend service, with what every call on it should have:
// a deadline, retries with backoff on UNAVAILABLE, wait-free reconnects.
//
// The problem: grpc::Channel has no Close. Its socket is gone only after the last
// reference, and every stub and every living ClientContext holds one. So Close()
// waits for them and says when one is left.
//
// Threads: all methods may be called from any thread. Close() must not run on a
// gRPC thread, which could end up joining itself.
class BackendChannel {
 public:
  struct Options {
    // "host:port", or any gRPC target.
    std::string target;
    // "inventory.v1.InventoryService": whose calls are retried on UNAVAILABLE.
    std::string service;
    // What a call may take, retries included, when its caller allows that long.
    std::chrono::milliseconds timeout{2000};
  };

  // Connects lazily; never fails for a backend that is not there yet.
  explicit BackendChannel(Options options);

  // For stubs. A stub is dropped before Close(). Requires: not closed.
  std::shared_ptr<grpc::Channel> channel() const;

  // Bounds a call that no caller waits for (a background worker's).
  void SetDeadline(grpc::ClientContext& context) const;

  // Whether the backend can be reached now; asks for a connection when there is
  // none.
  bool Connected() const;

  // Gives the channel up and waits until nobody holds it. DEADLINE_EXCEEDED: a
  // stub or a call still did.
  absl::Status Close(lifecycle::Clock::TimePoint deadline);

 private:
  const Options options_;
  mutable std::mutex mutex_;
  std::shared_ptr<grpc::Channel> channel_;  // Guarded by mutex_; null once closed.
};

}  // namespace rpc

#endif  // SERVICE_RPC_BACKEND_CHANNEL_H_
