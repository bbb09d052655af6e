#ifndef SERVICE_RPC_SERVER_HOST_H_
#define SERVICE_RPC_SERVER_HOST_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "grpcpp/server.h"
#include "grpcpp/server_builder.h"
#include "service/lifecycle/traffic.h"
#include "service/rpc/blocked_threads.h"
#include "service/rpc/call_tracker.h"
#include "service/rpc/connection_limits.h"
#include "service/rpc/connections.h"
#include "service/rpc/drain_signal.h"
#include "service/rpc/listener.h"

namespace rpc {

// A gRPC server that can be stopped without a caller noticing.
//
// The problem: grpc::Server::Shutdown() kills new calls on old connections, waits
// for peers that never answer, and has no limit. So the host keeps its own
// listener, counts calls and connections, and does one small step for each step of
// the shutdown sequence (service/lifecycle/shutdown_sequence.h).
//
// Besides the services it is given it serves grpc.health.v1.Health (for "" and
// each service by name) and server reflection; calls of these two, and of channelz
// where it is linked, never hold up a stop.
//
// Threads: Start(), the steps of a stop and the destructor on one thread. Look(),
// TryCallsRunning(), TryTally() and address() may be called from any thread.
// Lifetime: the services, and what they use, outlive the server inside, which
// lives until Cancel() has returned true; `drain` outlives the host.
class ServerHost final : public lifecycle::Traffic {
 public:
  struct Options {
    // "HOST:PORT"; port 0: any free one. A host name is looked up.
    std::string address = "127.0.0.1:0";
    // Where the bound address is written when callers are let in; empty: nowhere.
    std::string port_file = "";
    // No call for so long: nobody is there any more.
    std::chrono::milliseconds quiet_period{300};
    ConnectionLimits limits{};
  };

  struct NamedService {
    // As in the proto, "orders.v1.OrdersService": what health goes by.
    std::string name;
    grpc::Service& service;
  };

  ServerHost(Options options, std::vector<NamedService> services, DrainSignal& drain);
  // Ends a server that was started and not stopped: cancels everything.
  ~ServerHost() override;
  ServerHost(const ServerHost&) = delete;
  ServerHost& operator=(const ServerHost&) = delete;

  // Binds, listens, and is ready to serve. Callers wait at the port until
  // OpenListener().
  //
  // Errors: those of Listener::Bind(); UNAVAILABLE when gRPC does not want to.
  absl::Status Start();

  // "127.0.0.1:50051": where it listens. Empty before Start().
  std::string address() const;

  // Accepts, and writes the port file before: callers wait at the port, and none is cut
  // when that fails.
  //
  // Errors: UNAVAILABLE when the port file cannot be written.
  absl::Status OpenListener() override;
  void EnterLameDuck() override;
  bool AwaitQuiet(lifecycle::Patience& patience) override;
  void LeaveLameDuck() override;
  void CloseListener() override;
  int SayGoodbye(lifecycle::Patience& patience) override;
  bool AwaitConnectionsGone(lifecycle::Patience& patience) override;
  void BeginShutdown(lifecycle::Clock::TimePoint deadline) override;
  // Demands answers of `drain` when patience is nearly over.
  int AwaitCallsFinished(lifecycle::Patience& patience) override;
  bool Cancel(lifecycle::Patience& patience) override;
  Load Look() const override;
  int TryCallsRunning() const override;
  lifecycle::CallTally TryTally() const override;

 private:
  absl::Status WritePortFile() const;
  void SayThatThreadsAreBlocked();
  // The thread that runs server_->Shutdown().
  void ShutDownWhenToldTo();
  // Whether it was called, and whether it has returned.
  std::pair<bool, bool> ShutdownProgress();

  // Counts from now on what becomes of the calls. Once, until LeaveLameDuck().
  void CountCalls();
  // Calls that have come and reached nobody, since the server started; and since calls
  // are counted, once nothing new is taken. Waits for nothing that may hang.
  std::int64_t CallsLost() const;
  std::int64_t CallsRefused() const;

  const Options options_;
  const std::vector<NamedService> services_;
  DrainSignal& drain_;

  mutable CallTracker calls_;  // Asked by TryTally(), too.
  bool counting_ = false;
  std::int64_t lost_before_ = 0;  // Constant once shutting_down_ is set.
  std::atomic<bool> shutting_down_{false};
  std::atomic<std::int64_t> refused_{0};  // Set in the end: it cannot be told afterwards.
  Connections connections_;
  std::unique_ptr<Listener> listener_;
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> acceptor_;
  std::unique_ptr<grpc::Server> server_;

  std::optional<BlockedThreads> blocked_threads_;  // Since Start().

  std::thread shutdown_thread_;
  std::mutex mutex_;
  std::condition_variable_any shutdown_changed_;
  // Guarded by mutex_, constant once it is set.
  std::optional<lifecycle::Clock::TimePoint> shutdown_deadline_;
  bool shutdown_called_ = false;    // Guarded by mutex_.
  bool shutdown_returned_ = false;  // Guarded by mutex_.
};

}  // namespace rpc

#endif  // SERVICE_RPC_SERVER_HOST_H_
