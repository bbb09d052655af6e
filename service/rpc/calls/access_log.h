#ifndef SERVICE_RPC_CALLS_ACCESS_LOG_H_
#define SERVICE_RPC_CALLS_ACCESS_LOG_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "grpcpp/support/status_code_enum.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/calls/limit_log.h"
#include "service/rpc/calls/trace.h"

namespace rpc {

// What an access log says about a call that has ended.
struct EndedCall {
  std::string method;  // "/orders.v1.OrdersService/GetOrder", as the caller has sent it.
  // CANCELLED also when no status was sent; UNKNOWN also when nobody saw which one was.
  grpc::StatusCode code = grpc::StatusCode::UNKNOWN;
  std::string peer = {};        // "ipv4:127.0.0.1:40312".
  std::string request_id = {};  // `x-request-id`; empty: none.
  Trace trace = {};
  std::chrono::system_clock::time_point started = {};
  std::chrono::nanoseconds duration = {};
};

// "NOT_FOUND"; the number if it is no known code.
std::string CodeName(grpc::StatusCode code);

// Logs the calls of servers when they end, up to a number of calls a second. CallTracker
// (call_tracker.h) tells it of them, and gives each call a trace span (trace.h): a child of its
// caller's, if the caller sends a `traceparent`.
//
// Guarantees: calls above the limit are counted in a LimitLog, which their servers flush and end. A
// call that is not logged has a span, too.
//
// Cost: about an eighth of a unary call's instructions (docs/figures.md).
//
// Threads: any. Calls that end at a time do not wait for each other's lines.
// Lifetime: outlives its servers.
class AccessLog {
 public:
  using Write = std::function<void(EndedCall call)>;

  explicit AccessLog(int calls_per_second);

  // `write` receives calls from now on, `write_skipped` lines about those that are not logged;
  // before, there are neither. Must not block. What received them before may still receive one that
  // has just ended.
  void LogTo(Write write, LimitLog::Write write_skipped);

  // Whether a call that ends now is logged: Log() comes next. False: it is counted.
  bool Admits(lifecycle::Clock::TimePoint now);
  void Log(EndedCall call);

  // The calls that were not logged.
  LimitLog& skipped() { return skipped_; }

 private:
  struct Receiver {
    Write write;
    LimitLog::Write write_skipped;
  };

  bool IsFull(lifecycle::Clock::TimePoint now) const;
  std::shared_ptr<const Receiver> receiver();

  const int calls_per_second_;
  std::mutex mutex_;
  // Changed under mutex_; read without it by the calls above the limit.
  std::atomic<lifecycle::Clock::TimePoint> second_{lifecycle::Clock::TimePoint()};  // Its begin.
  std::atomic<int> admitted_{0};                                                    // In it.
  std::shared_ptr<const Receiver> receiver_;  // Guarded by mutex_. Null: none yet.
  LimitLog skipped_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_ACCESS_LOG_H_
