#ifndef SERVICE_RPC_ACCESS_LOG_H_
#define SERVICE_RPC_ACCESS_LOG_H_

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "grpcpp/support/status_code_enum.h"
#include "service/lifecycle/clock.h"
#include "service/rpc/trace.h"

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
// Guarantees: calls above the limit are counted, and the count is logged before the next call that
// is logged, and at the end. A call that is not logged has a span, too.
//
// Cost: about an eighth of a unary call's instructions (docs/figures.md).
//
// Threads: any. Calls that end at a time do not wait for each other's lines.
// Lifetime: outlives its servers.
class AccessLog {
 public:
  using Write = std::function<void(EndedCall call)>;
  using WriteSkipped = std::function<void(std::int64_t calls)>;

  explicit AccessLog(int calls_per_second) : calls_per_second_(calls_per_second) {}
  // Logs how many calls were skipped.
  ~AccessLog();

  // Receives calls from now on; before, they are not logged. Must not block. What received them
  // before may still receive one that has just ended.
  void LogTo(Write write, WriteSkipped write_skipped);

  // Whether a call that ends now is logged: Log() comes next. False: it is counted.
  bool Admits(lifecycle::Clock::TimePoint now);
  void Log(EndedCall call);

  // How many calls were not logged.
  std::int64_t skipped() const { return skipped_.load(std::memory_order_relaxed); }

 private:
  struct Receiver {
    Write write;
    WriteSkipped write_skipped;
  };

  bool IsFull(lifecycle::Clock::TimePoint now) const;
  // The receiver, once it knows how many calls were skipped.
  std::shared_ptr<const Receiver> Told();

  const int calls_per_second_;
  // Changed under mutex_; read without it by the calls above the limit.
  std::atomic<lifecycle::Clock::TimePoint> second_{lifecycle::Clock::TimePoint()};  // Its begin.
  std::atomic<int> admitted_{0};                                                    // In it.
  std::atomic<std::int64_t> skipped_{0};
  std::mutex mutex_;
  std::int64_t skipped_told_ = 0;             // Guarded by mutex_.
  std::shared_ptr<const Receiver> receiver_;  // Guarded by mutex_. Null: none yet.
};

}  // namespace rpc

#endif  // SERVICE_RPC_ACCESS_LOG_H_
