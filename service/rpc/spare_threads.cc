#include "service/rpc/spare_threads.h"

#include <algorithm>
#include <future>
#include <system_error>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"

namespace rpc {

int ThreadsForAServer() {
  constexpr unsigned kMost = 64;
  return static_cast<int>(16 + std::min(2 * std::thread::hardware_concurrency(), kMost));
}

absl::Status CheckSpareThreads(int threads) {
  std::promise<void> enough;
  const std::shared_future<void> known = enough.get_future().share();
  std::vector<std::thread> spare;
  absl::Status status;
  try {
    for (int i = 0; i < threads; ++i) spare.emplace_back([known] { known.wait(); });
  } catch (const std::system_error& none) {
    status = absl::ResourceExhaustedError(
        absl::StrCat("only ", spare.size(), " of the ", threads,
                     " threads that gRPC may need can be created (ulimit -u, the control group's "
                     "pids.max): ",
                     none.what()));
  }
  enough.set_value();
  for (std::thread& thread : spare) thread.join();
  return status;
}

}  // namespace rpc
