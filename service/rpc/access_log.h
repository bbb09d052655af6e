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
  grpc::StatusCode code = grpc::StatusCode::CANCELLED;  // That, too, when no status was sent.
  std::string peer = {};                                // "ipv4:127.0.0.1:40312".
  std::string request_id = {};                          // `x-request-id`; empty: none.
  Trace trace = {};
  std::chrono::system_clock::time_point started = {};
  std::chrono::nanoseconds duration = {};
};

// "NOT_FOUND"; "17" for what is no code.
std::string CodeName(grpc::StatusCode code);

// Tells about every call of a server when it has ended, so many a second at most, and gives each
// call a span of a trace (trace.h): below that of its caller, if it sends a `traceparent`.
//
// It is an interceptor, which costs each unary call an eighth of its instructions.
//
// Guarantees: calls above the limit are counted, and the count is told before the next call that is
// told, and in the end. A call has its span whether it is told or not.
//
// Threads: any. Lifetime: outlives its servers.
class AccessLog {
 public:
  using Write = std::function<void(const EndedCall& call)>;
  using WriteSkipped = std::function<void(std::int64_t calls)>;

  explicit AccessLog(int calls_per_second,
                     const lifecycle::Clock& clock = lifecycle::Clock::Steady())
      : calls_per_second_(calls_per_second), clock_(clock) {}
  // Tells what was skipped.
  ~AccessLog();

  // Where calls are told; must not block. Nowhere before.
  void LogTo(Write write, WriteSkipped write_skipped);

  // To be given to one server.
  std::unique_ptr<grpc::experimental::ServerInterceptorFactoryInterface> NewInterceptors();

  // How many calls were not told.
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
