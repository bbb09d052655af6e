#include "service/rpc/spare_threads.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <future>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "grpc/support/cpu.h"
#include "grpc/support/time.h"
#include "grpcpp/alarm.h"

namespace rpc {

namespace {

constexpr unsigned kMost = 64;

// gRPC counts the cores of the machine, also those that this process may not use.
unsigned TwicePerCore() { return 2 * gpr_cpu_num_cores(); }

// Whether the executor, of which the process has one, has its threads.
std::atomic<bool> executor_is_complete{false};

}  // namespace

int ThreadsForAServer() {
  return static_cast<int>(16 + (executor_is_complete ? 0 : std::min(TwicePerCore(), kMost)));
}

absl::Status CheckSpareThreads(int threads) {
  std::promise<void> enough;
  const std::shared_future<void> known = enough.get_future().share();
  std::vector<std::thread> spare;
  absl::Status status;
  try {
    for (int i = 0; i < threads; ++i) spare.emplace_back([known] { known.wait(); });
  } catch (const std::system_error& none) {
    status = absl::ResourceExhaustedError(absl::StrCat(
        "only ", spare.size(), " of the ", threads, " threads that gRPC may need can be created (",
        kThreadLimits, "): ", none.what()));
  }
  enough.set_value();
  for (std::thread& thread : spare) thread.join();
  return status;
}

void StartThreadsOfExecutor() {
  if (executor_is_complete.exchange(true)) return;
  // Each closure is given to a thread by whoever sets the alarm, and so is the next thread started,
  // as soon as three wait for one: its limits are MAX_DEPTH and two per core (executor.cc).
  const unsigned closures = TwicePerCore() <= kMost ? 3 * TwicePerCore() : kMost;
  std::promise<void> all_set;
  const std::shared_future<void> known = all_set.get_future().share();
  std::deque<grpc::Alarm> alarms;
  for (unsigned i = 0; i < closures; ++i) {
    alarms.emplace_back().Set(gpr_time_0(GPR_CLOCK_MONOTONIC), [known](bool) { known.wait(); });
  }
  all_set.set_value();
}

}  // namespace rpc
