#ifndef SERVICE_RPC_ACCESS_LOG_H_
#define SERVICE_RPC_ACCESS_LOG_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "grpcpp/support/server_interceptor.h"
#include "grpcpp/support/status_code_enum.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/trace.h"

namespace rpc {

// What an access log says about a call that has ended.
struct EndedCall {
  std::string method;  // "/orders.v1.OrdersService/GetOrder", as the caller has sent it.
  grpc::StatusCode code = grpc::StatusCode::CANCELLED;  // Also when no status was sent.
  std::string peer = {};                                // "ipv4:127.0.0.1:40312".
  std::string request_id = {};                          // `x-request-id`; empty: none.
  Trace trace = {};
  std::chrono::system_clock::time_point started = {};
  std::chrono::nanoseconds duration = {};
};

// "NOT_FOUND"; the number if it is no known code.
std::string CodeName(grpc::StatusCode code);

// Logs each call of a server when it ends, up to a number of calls a second, and gives each call a
// trace span (trace.h): a child of its caller's, if the caller sends a `traceparent`.
//
// Cost: a third of a unary call's instructions (docs/figures.md). An eighth of them is gRPC's, for
// any interceptor; the rest is for the trace and the line.
//
// Guarantees: calls above the limit are counted, and the count is logged before the next call that
// is logged, and at the end. A call that is not logged has a span, too.
//
// Threads: any. Lifetime: outlives its servers.
class AccessLog {
 public:
  using Write = std::function<void(const EndedCall& call)>;
  using WriteSkipped = std::function<void(std::int64_t calls)>;

  explicit AccessLog(int calls_per_second,
                     const lifecycle::Clock& clock = lifecycle::Clock::Steady())
      : calls_per_second_(calls_per_second), clock_(clock) {}
  // Logs how many calls were skipped.
  ~AccessLog();

  // Receives calls from now on; before, they are not logged. Must not block.
  void LogTo(Write write, WriteSkipped write_skipped);

  // Interceptors for one server.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> NewInterceptors();

  // How many calls were not logged.
  std::int64_t skipped() const;

 private:
  class Interceptor;
  class Factory;

  void Ended(const EndedCall& call);
  void TellSkipped();  // Requires: the mutex is locked.

  const int calls_per_second_;
  const lifecycle::Clock& clock_;
  mutable std::mutex mutex_;
  // All below: guarded by mutex_.
  Write write_;
  WriteSkipped write_skipped_;
  lifecycle::Clock::TimePoint second_{};  // When the current one began.
  int told_ = 0;                          // In it.
  std::int64_t skipped_ = 0;
  std::int64_t skipped_told_ = 0;
};

}  // namespace rpc

#endif  // SERVICE_RPC_ACCESS_LOG_H_
