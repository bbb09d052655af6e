#ifndef SERVICE_RPC_SERVER_HOST_H_
#define SERVICE_RPC_SERVER_HOST_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/security/server_credentials.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/blocked_threads.h"
#include "service/rpc/calls/access_log.h"
#include "service/rpc/calls/authorization.h"
#include "service/rpc/calls/call_deadlines.h"
#include "service/rpc/calls/call_tracker.h"
#include "service/rpc/calls/limit_log.h"
#include "service/rpc/channelz/connections.h"
#include "service/rpc/connections/connection_drain.h"
#include "service/rpc/connections/connection_guard.h"
#include "service/rpc/connections/connection_limits.h"
#include "service/rpc/connections/inherited_sockets.h"
#include "service/rpc/connections/listener.h"
#include "service/rpc/connections/takeover.h"
#include "service/rpc/goodbye_signal.h"
#include "service/rpc/handler_guard.h"

namespace rpc {

// A gRPC server that shuts down without its callers noticing.
//
// The problem: grpc::Server::Shutdown() kills new calls on existing connections, waits for peers
// that never answer, and has no limit. So the host keeps its own listener, counts calls and
// connections, and does one small step for each step of the shutdown sequence
// (service/lifecycle/shutdown_sequence.h).
//
// Besides the services passed to it, it serves grpc.health.v1.Health (for "" and for each service
// by name) and server reflection. Calls of these two, and of channelz where it is linked, never
// delay a shutdown.
//
// Threads: Start(), the steps of a shutdown and the destructor on one thread. Once Start() has
// returned, Look(), Answers(), TryCallsRunning(), TryTally(), address(), Refused() and Stats() may be
// called from any thread.
// Lifetime: keeps the services. What they use outlives the host, and so does `goodbye`.
class ServerHost final : public lifecycle::Traffic {
 public:
  struct Endpoint {
    // As for Listener::Bind(): "HOST:PORT" (port 0: any free one), "unix:PATH", "fd:NAME".
    std::string address = "127.0.0.1:0";
    // Null: none, plaintext.
    std::shared_ptr<grpc::ServerCredentials> credentials = nullptr;
  };
  using InterceptorFactories = CallTracker::InterceptorFactories;

  struct Options {
    // Where to listen: several, separated by commas, all with `credentials`; and more.
    std::string address = "127.0.0.1:0";
    std::shared_ptr<grpc::ServerCredentials> credentials = nullptr;
    std::vector<Endpoint> more_endpoints = {};
    // Sockets that were passed to the process; null: none.
    std::shared_ptr<InheritedSockets> inherited = nullptr;
    // Socket file under which the server replaces the process that serves there, on the same
    // addresses and without refusing a caller (connections/takeover.h), and later hands its own
    // over; empty: none. Where an address is named several times (port 0), the second gets what the
    // second had, and so on.
    std::string takeover = "";
    // File that receives the first bound address when callers are let in; empty: none.
    std::string port_file = "";
    ConnectionLimits limits{};
    // Names for health checks besides those of the services, in the same state as they.
    std::vector<std::string> health_names = {};
    // Whether server reflection is served.
    bool reflection = true;
    // Logs each call (calls/access_log.h); null: nobody does.
    std::shared_ptr<AccessLog> access_log = nullptr;
    // Interceptors for each call, after the host's own. Having any costs each unary call an eighth
    // of its instructions.
    std::function<InterceptorFactories()> interceptors = {};
    // Runs on the builder before anything else is set: for generic, asynchronous and other
    // services, completion queues, arguments. Where the host sets the same option, the host's value
    // wins. handler_guard.h does not guard what is registered here.
    std::function<void(grpc::ServerBuilder&)> prepare = {};
    // Who may call what, of the services passed to the host; null: everybody everything. Servers with
    // different services may share it, and then all start before one of them listens. Services of
    // the asynchronous and generic APIs cannot be guarded, so `prepare` must not register any then.
    std::shared_ptr<Authorization> authorization = nullptr;
    // When gRPC's threads count as blocked.
    BlockedThreads::Limits blocked_threads{};
    // Receives a line when a limit is reached or a handler fails, of each kind (and of each method
    // that fails) at once, then one a minute with what came since, and the rest at the end; must not
    // block. Null: stderr.
    std::function<void(const std::string& line)> log = {};
  };

  // Streams of the services say goodbye (stream.h) when `goodbye` is announced. Health checks know
  // the services by their names in the proto, "orders.v1.OrdersService".
  ServerHost(Options options, std::vector<std::shared_ptr<grpc::Service>> services,
             GoodbyeSignal& goodbye);
  // Requires: if callers were let in, CloseListener() was called, as a shutdown does. Otherwise the
  // process ends here, because their calls would be cut without a report.
  //
  // Cancels whatever the shutdown has left.
  ~ServerHost() override;
  ServerHost(const ServerHost&) = delete;
  ServerHost& operator=(const ServerHost&) = delete;

  // Binds, and gets ready to serve. Connections are refused until Listen(), so that callers try
  // another replica, unless something listens at once: a socket file, and what was passed or taken
  // over. Those wait. An optimised build (NDEBUG) turns off Abseil's search for deadlocks, in the whole
  // process.
  //
  // Errors: those of Listener::Bind() and Takeover::Begin(); FAILED_PRECONDITION when it was started
  // before; INVALID_ARGUMENT when there is nothing to serve, when a service is null, when the takeover
  // has the socket file of an address, or when a port was added that the host cannot close first;
  // RESOURCE_EXHAUSTED when this process may have too few threads; UNAVAILABLE when gRPC refuses, or when
  // a thread cannot be created.
  absl::Status Start();

  // The address it is bound to, "127.0.0.1:50051"; the first of several. Empty before Start().
  std::string address() const;

  // What it takes over, it takes over in Start(); what it hands over, once callers were let in. To
  // whom it is handed over also gets the callers who still wait to be accepted.
  void OnHandover(std::function<void(const std::string& to)> handed_over) override;
  // Not without Start(), nor with rules for methods that no server has which shares the policy.
  absl::Status MayListen() override;
  // Listens, and writes the port file.
  //
  // Errors: those of Listener::Listen(); FAILED_PRECONDITION when Start() was forgotten; INVALID_ARGUMENT
  // when a rule of the policy is for a method that no server has; UNAVAILABLE when the port file cannot be
  // written.
  absl::Status Listen() override;
  // Accepts, and serves in its predecessor's place. Where its successor will not find it
  // (Takeover::Publish()), it says so, and that it must be stopped by hand.
  void OpenListener() override;
  void EnterLameDuck() override;
  void LeaveLameDuck() override;
  void CloseListener() override;
  // Through `Options::log`, with the addresses.
  void WarnIfCallersWait() override;
  void SayGoodbye(lifecycle::Patience& patience, int streams) override;
  // kUnasked: this gRPC cannot send a GOAWAY (GoawaySender::Available()).
  Departure LookAtConnections() override;
  bool CloseSilent() override;
  void BeginShutdown() override;
  bool CallsFinished() override;
  // Through `goodbye`.
  void DemandAnswers() override { goodbye_.DemandAnswers(); }
  Unfinished WhatIsUnfinished() const override { return drain_of_connections_->Unfinished(); }
  bool KeepCancelling() override;
  Load Look() const override;
  // False while gRPC's threads serve nobody and a call of this server runs, whose handler may block
  // them; and whatever runs, when that has lasted for a minute (blocked_threads.h).
  bool Answers() const override;
  int TryCallsRunning() const override;
  lifecycle::CallTally TryTally() const override;

  // How often each limit was reached, and handlers failed, so far.
  struct Refusals {
    std::int64_t connections = 0;        // Above the limit of connections or descriptors.
    std::int64_t ended_connections = 0;  // connections/connection_guard.h
    std::int64_t calls = 0;              // Above max_calls_in_flight.
    std::int64_t overdue_calls = 0;      // Ended after max_deadline or default_deadline.
    std::int64_t undecodable = 0;        // Requests that could not be parsed.
    std::int64_t failed_handlers = 0;    // They or a TokenCheck threw; a bad resume point.
  };
  Refusals Refused() const;
  CallStats::Snapshot Stats() const { return calls_.Stats(); }

 private:
  enum class Shutdown { kNotWanted, kWanted, kBegun, kReturned };

  std::vector<Endpoint> Endpoints() const;
  absl::Status BindAll();
  absl::Status BuildServer();
  HandlerGuard::Authorize Authorize() const;
  void StartThreads();
  void WriteLog(const std::string& line) const;
  absl::Status WritePortFile() const;
  Takeover::Host HandsOver();
  // Those of calls and connections that are refused, ended or not logged. Requires: from
  // StartThreads() on, until the server is gone.
  void ForEachLog(const std::function<void(LimitLog&)>& use);
  // `running`: the calls of all servers of the process; empty: none.
  void SayThatThreadsAreBlocked(const std::string& running);
  // For people; empty: none.
  std::string RunningCalls() const;
  // The thread that runs server_->Shutdown().
  void ShutDownWhenToldTo();
  bool ShutdownIs(Shutdown at_least);

  const Options options_;
  const std::vector<std::shared_ptr<grpc::Service>> services_;
  GoodbyeSignal& goodbye_;

  mutable CallTracker calls_;  // Also used by TryTally(), which is const.
  Connections connections_;
  LimitLog refused_connections_;
  LimitLog cannot_accept_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  // One for each listener, at the same index.
  std::vector<std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor>> acceptors_;
  std::unique_ptr<Takeover> takeover_;        // Null: none is wanted.
  std::unique_ptr<CallDeadlines> deadlines_;  // From Start() on; null: nothing bounds calls.
  std::function<void(const std::string& to)> handed_over_;
  std::unique_ptr<grpc::Server> server_;
  HandlerGuard handler_guard_;
  std::optional<ConnectionGuard> connection_guard_;      // Since Start().
  std::optional<ConnectionDrain> drain_of_connections_;  // As long as there is a server.

  std::optional<BlockedThreads> blocked_threads_;  // Since Start().
  bool open_ = false;                              // From OpenListener() to CloseListener().

  // Since when calls are cancelled, and when they are next. KeepCancelling()'s own.
  std::optional<lifecycle::Clock::TimePoint> cancelling_;
  lifecycle::Clock::TimePoint next_cancel_;

  std::thread shutdown_thread_;
  std::mutex mutex_;
  std::condition_variable shutdown_changed_;  // To kWanted.
  Shutdown shutdown_ = Shutdown::kNotWanted;  // Guarded by mutex_.
};

}  // namespace rpc

#endif  // SERVICE_RPC_SERVER_HOST_H_
