#ifndef SERVICE_RPC_BACKEND_CHANNEL_H_
#define SERVICE_RPC_BACKEND_CHANNEL_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/server_context.h"
#include "service/lifecycle/clock.h"

namespace rpc {

// The connection to one backend service, with what every call on it should have:
// a deadline, retries with backoff on UNAVAILABLE, quick reconnects.
//
// The problem: grpc::Channel has no Close. Its socket is gone only after the last
// reference, and every stub and every living ClientContext holds one. So Close()
// waits for them, and says when one is left.
//
// Threads: all methods may be called from any thread. Close() must not run on a
// gRPC thread, which could end up joining itself.
class BackendChannel {
 public:
  struct Options {
    // "host:port", or any other gRPC target.
    std::string target;
    // "inventory.v1.InventoryService": whose calls are retried on UNAVAILABLE.
    std::string service;
    // What a call may take, retries included, when its caller allows that long.
    std::chrono::milliseconds timeout{2000};
  };

  // Connects when the first call needs it; a backend that is not there yet is no
  // error.
  explicit BackendChannel(Options options);
  BackendChannel(const BackendChannel&) = delete;
  BackendChannel& operator=(const BackendChannel&) = delete;

  // For stubs, which are dropped before Close(). Null once closed.
  std::shared_ptr<grpc::Channel> channel() const;

  // A context for one call on behalf of `caller`: ends when the caller's call is
  // cancelled, at the caller's deadline, or after `timeout`, whichever is first.
  std::unique_ptr<grpc::ClientContext> NewContext(const grpc::CallbackServerContext& caller) const;

  // A context for a call that nobody waits for: ends after `timeout`.
  std::unique_ptr<grpc::ClientContext> NewContext() const;

  // Waits until the backend can be reached, at most until `deadline`.
  bool AwaitConnected(lifecycle::Clock::TimePoint deadline) const;

  // Gives the channel up and waits until nobody holds it. DEADLINE_EXCEEDED: a
  // stub or a call still does, and so the connection stays open; called again, it
  // waits again.
  absl::Status Close(lifecycle::Clock::TimePoint deadline);

 private:
  const std::chrono::milliseconds timeout_;
  mutable std::mutex mutex_;
  std::shared_ptr<grpc::Channel> channel_;  // Guarded by mutex_; null once closed.
  std::weak_ptr<grpc::Channel> watched_;    // Constant: tells whether anybody holds it.
};

}  // namespace rpc

#endif  // SERVICE_RPC_BACKEND_CHANNEL_H_
