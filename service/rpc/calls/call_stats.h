#ifndef SERVICE_RPC_CALLS_CALL_STATS_H_
#define SERVICE_RPC_CALLS_CALL_STATS_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "service/lifecycle/clock.h"

namespace rpc {

// Counts calls by method and status, and how long they took, for metrics.
//
// The problem: every call is counted, so it must cost next to nothing, and threads must not share a
// cache line. So each counter has a part for each of a few threads; whoever reads adds them up.
//
// Threads: any, without a lock. A count that is read while it changes may or may not have the last
// call, and never goes back.
class CallStats {
 public:
  // Of a call whose handler finishes its own reactor, which nobody sees; else a grpc::StatusCode.
  static constexpr int kNotReported = -1;

  // Upper bounds of the buckets, in seconds; one more has the rest. A subset of what gRPC's own
  // metrics have (gRFC A66).
  static constexpr std::array<double, 16> kBounds = {0.0001, 0.0003, 0.0006, 0.001, 0.002, 0.005,
                                                     0.01,   0.025,  0.05,   0.1,   0.25,  0.5,
                                                     1,      2,      10,     100};

  CallStats() = default;
  ~CallStats();
  CallStats(const CallStats&) = delete;
  CallStats& operator=(const CallStats&) = delete;

  // Methods are known by the address of their names, which outlive this. Null: the caller has
  // invented the name, or there are too many; these are counted together.
  void Begin(const char* method);
  void End(const char* method, int status, lifecycle::Clock::Duration took);

  // Whether the status of a method's calls is reported: it was, and never was not.
  bool Reports(const char* method);
  void SetReports(const char* method, bool reports);

  struct Row {
    std::string method;  // "/orders.v1.OrdersService/PlaceOrder"; "other".
    int status = 0;
    std::array<std::int64_t, kBounds.size() + 1> buckets{};  // Not cumulative.
    double seconds = 0;                                      // In all.
  };
  struct Started {
    std::string method;
    std::int64_t calls = 0;
  };
  // Only what has a count.
  struct Snapshot {
    std::vector<Started> started;
    std::vector<Row> ended;
  };
  Snapshot Look() const;

 private:
  static constexpr std::size_t kMethods = 256;  // Of all services of a server.
  static constexpr std::size_t kStatuses = 18;  // Those of gRPC, and kNotReported.
  static constexpr std::size_t kThreads = 8;

  struct alignas(64) Counter {
    std::atomic<std::int64_t> calls{0};
  };
  struct alignas(64) Durations {
    std::array<std::atomic<std::int64_t>, kBounds.size() + 1> buckets{};
    std::atomic<std::int64_t> nanoseconds{0};
  };
  using Cell = std::array<Durations, kThreads>;
  struct Method {
    std::array<Counter, kThreads> started;
    std::array<std::atomic<Cell*>, kStatuses> ended{};  // Made when it is needed.
    std::atomic<bool> reported{false};
    std::atomic<bool> not_reported{false};
  };

  Method& MethodOf(const char* name);
  static Cell& CellOf(std::atomic<Cell*>& place);

  // The names, by a hash of their addresses; then the methods at the same index.
  std::array<std::atomic<const char*>, kMethods> names_{};
  std::array<std::atomic<Method*>, kMethods> methods_{};
  Method other_;
};

}  // namespace rpc

#endif  // SERVICE_RPC_CALLS_CALL_STATS_H_
