#ifndef SERVICE_RPC_BACKEND_CHANNEL_H_
#define SERVICE_RPC_BACKEND_CHANNEL_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/channel.h"
#include "grpcpp/client_context.h"
#include "grpcpp/server_context.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/channelz/channel_sockets.h"
#include "service/rpc/tls/tls_files.h"

namespace rpc {

// The connection to one backend service, with what every call on it needs: a deadline, retries with
// backoff on UNAVAILABLE (see Options::retry), and quick reconnects.
//
// The problem: grpc::Channel has no Close. Its socket is closed only some time after the last
// reference is dropped, and every stub and every living ClientContext holds one. So every call's
// context comes from here, and Close() cancels the calls that are still running, waits until nobody
// holds the channel, and then until its sockets are closed. And a channel keeps its certificates: so
// when their files are renewed, there is a new channel for later calls, and the old one is closed
// when its calls have ended.
//
// Threads: all methods may be called from any thread. Close() must not run on a gRPC thread, which
// could end up joining itself.
class BackendChannel {
 public:
  struct Options {
    // "host:port", or any other gRPC target. Empty: there is no backend, and no channel to it.
    std::string target;
    // The service whose calls are retried on UNAVAILABLE: "inventory.v1.InventoryService". Backend
    // fills it in.
    std::string service{};
    // Whether calls that fail with UNAVAILABLE are made again, up to three times. The backend may have
    // executed such a call: false, where it must not be executed twice. What no backend has seen is sent
    // again in any case.
    bool retry = true;
    // Null: plaintext. With a certificate: the one that the backend is shown (TlsFiles::Owner::kClient).
    std::shared_ptr<const TlsFiles> tls{};
    // The name that the backend's certificate must contain; empty: the target's host.
    std::string tls_server_name{};
    // The longest time that a call may take, including connecting and retries; a caller's deadline
    // may shorten it.
    std::chrono::milliseconds timeout{5000};
    // Once requested, calls on behalf of a caller are cancelled, so that the caller gets an answer
    // before it is cut itself: GoodbyeSignal::answer_now().
    std::stop_token answer_now{};
  };

  // Connects when the first call needs it; a backend that is not up yet is not an error.
  explicit BackendChannel(Options options);
  BackendChannel(const BackendChannel&) = delete;
  BackendChannel& operator=(const BackendChannel&) = delete;

  // For creating a stub, which is cheap and made for each call. A stub holds the channel, as a
  // context does, and Close() waits for both. Null once closed, and if there is no backend.
  std::shared_ptr<grpc::Channel> channel() const;

  // A context for one call on behalf of `caller`. It ends when the caller's call is cancelled, at
  // the caller's deadline, or after `timeout`, whichever comes first. `answer_now` and Close()
  // cancel it, also if they came before. Drop it as soon as its call has ended.
  //
  // It carries the caller's trace (calls/trace.h). To AddMetadata() of a value of the caller's is
  // yours to check: gRPC ends the process that sends what grpc_header_nonbin_value_is_legal()
  // denies.
  std::shared_ptr<grpc::ClientContext> NewContext(const grpc::CallbackServerContext& caller) const;

  // A context for a call that no caller waits for: it ends after `timeout`, when a stop is requested
  // of `give_up`, or in Close().
  std::shared_ptr<grpc::ClientContext> NewContext(std::stop_token give_up = {}) const;

  // Waits until the backend is reachable, at most until `deadline`. False: it is not.
  bool AwaitConnected(lifecycle::Clock::TimePoint deadline) const;

  // Cancels running calls, which end with CANCELLED, drops the channel, and waits until nobody
  // else holds it and all of its sockets are closed.
  //
  // DEADLINE_EXCEEDED, with what is left: a stub or a call's context still holds the channel, so
  // its connection stays open, or a socket is not closed yet. Either also happens when the backend
  // does not read: gRPC ends neither a call nor a connection in the middle of a write. May be
  // called again, by one thread at a time.
  absl::Status Close(lifecycle::Clock::TimePoint deadline);

 private:
  // Contains the context.
  struct Call;

  // A channel, with the certificates of one moment.
  struct Connection {
    std::shared_ptr<grpc::Channel> channel;
    ChannelSockets sockets;
    std::int64_t generation = 0;
  };

  Connection Connect() const;
  // Replaces the channel when there are newer certificates, and drops those that nobody else holds
  // any more. Requires: the mutex is locked.
  void Renew() const;
  bool Unused() const;
  int OpenSockets();

  std::shared_ptr<grpc::ClientContext> Track(std::unique_ptr<grpc::ClientContext> context,
                                             std::stop_token give_up,
                                             std::chrono::system_clock::time_point deadline) const;

  const Options options_;
  std::stop_source closing_;  // Requested to cancel every call.
  mutable std::mutex mutex_;
  bool closed_ = false;  // Guarded by mutex_.
  // Must be the last references: if a call dropped one on a gRPC thread, that thread would join
  // itself. (Renew() may run on such a thread, but gRPC ends its threads only with the last channel or
  // server that they serve, and a server that asks for a channel is still there: grpc/grpc,
  // completion_queue_cc.cc, CallbackAlternativeCQ.) Guarded by mutex_ until closed_.
  mutable Connection current_;
  // Calls still hold them, or, where there is no channel any more, a socket may not be closed yet.
  mutable std::vector<Connection> replaced_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_BACKEND_CHANNEL_H_
