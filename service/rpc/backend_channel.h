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

  // Gives the channel up and waits until nobody else holds it. DEADLINE_EXCEEDED: a
  // stub or a call still does, and so the connection stays open. May be called
  // again, by one thread at a time.
  absl::Status Close(lifecycle::Clock::TimePoint deadline);

 private:
  const std::chrono::milliseconds timeout_;
  mutable std::mutex mutex_;
  bool closed_ = false;  // Guarded by mutex_.
  // Ours is the last reference: when it is a call's, dropped on a thread of gRPC's,
  // that thread joins itself.
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_BACKEND_CHANNEL_H_
