#ifndef SERVICE_RPC_BACKEND_CHANNEL_H_
#define SERVICE_RPC_BACKEND_CHANNEL_H_

#include <chrono>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>

#include "absl/status/status.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/server_context.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/channelz/channel_sockets.h"

namespace rpc {

// The connection to one backend service, with what every call on it should have:
// a deadline, retries with backoff on UNAVAILABLE, quick reconnects.
//
// The problem: grpc::Channel has no Close. Its socket is gone only some time after the
// last reference, and every stub and every living ClientContext holds one. So every
// call's context comes from here, and Close() cancels the calls that still run, waits
// until nobody holds the channel, and then until its sockets are gone.
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
    // Once requested, calls on behalf of a caller are cancelled, so that the caller has
    // an answer before it is cut off itself: GoodbyeSignal::answer_now().
    std::stop_token answer_now{};
  };

  // Connects when the first call needs it; a backend that is not there yet is no
  // error.
  explicit BackendChannel(Options options);
  BackendChannel(const BackendChannel&) = delete;
  BackendChannel& operator=(const BackendChannel&) = delete;

  // For a stub, which costs little and is made for each call; it holds the channel, as
  // a context does, and Close() waits for both. Null once closed.
  std::shared_ptr<grpc::Channel> channel() const;

  // A context for one call on behalf of `caller`: ends when the caller's call is
  // cancelled, at the caller's deadline, or after `timeout`, whichever is first.
  // Cancelled by `answer_now` and in Close(), and from the start when that came before.
  // To be dropped as soon as its call has ended.
  std::shared_ptr<grpc::ClientContext> NewContext(const grpc::CallbackServerContext& caller) const;

  // A context for a call that nobody waits for: ends after `timeout`, or in Close().
  std::shared_ptr<grpc::ClientContext> NewContext() const;

  // Waits until the backend can be reached, at most until `deadline`.
  bool AwaitConnected(lifecycle::Clock::TimePoint deadline) const;

  // Cancels the calls that run, whose callers are told CANCELLED, gives the channel up,
  // and waits until nobody else holds it and none of its sockets is open.
  //
  // DEADLINE_EXCEEDED, saying what is left: a stub, or the context of a call, still
  // holds the channel, and so the connection stays open; or a socket is not closed yet.
  // Both also when the backend reads nothing: gRPC ends neither a call nor a connection
  // in the middle of a write. May be called again, by one thread at a time.
  absl::Status Close(lifecycle::Clock::TimePoint deadline);

 private:
  // What a context is a part of.
  struct Call;

  std::shared_ptr<grpc::ClientContext> Known(std::unique_ptr<grpc::ClientContext> context,
                                             std::stop_token give_up) const;

  const Options options_;
  ChannelSockets sockets_;
  std::stop_source closing_;  // Cancels every call.
  mutable std::mutex mutex_;
  bool closed_ = false;  // Guarded by mutex_.
  // Ours is the last reference: when it is a call's, dropped on a thread of gRPC's,
  // that thread joins itself.
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_BACKEND_CHANNEL_H_
