#ifndef SERVICE_LIFECYCLE_TASK_GROUP_H_
#define SERVICE_LIFECYCLE_TASK_GROUP_H_

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "service/lifecycle/clock.h"

namespace lifecycle {

// The background workers of a process, each on its own thread.
//
// The problem: a worker that never ends must neither hang the shutdown, as a plain join would, nor
// be forgotten. So joining has a limit and reports who is left.
//
// Requires of a task: it returns soon after a stop is requested on its token, having finished its
// current item.
//
// Threads: all methods may be called from any thread, but Join() by one at a time.
// Lifetime: what a task uses outlives the task. Once Join() has named a task that still runs, the
// process must not destroy anything (shutdown_sequence.h ensures that).
class TaskGroup {
 public:
  using Task = std::function<void(std::stop_token)>;

  struct Left {
    std::string name;
    // DEADLINE_EXCEEDED: it still runs. INTERNAL: it threw.
    absl::Status status;
  };

  TaskGroup() = default;
  // `on_failure` is called when a task has thrown, on the task's own thread, which counts as
  // running until `on_failure` has returned.
  explicit TaskGroup(std::function<void(const Left&)> on_failure)
      : on_failure_(std::move(on_failure)) {}
  // Requests a stop and waits for every task, without a limit.
  ~TaskGroup();
  TaskGroup(const TaskGroup&) = delete;
  TaskGroup& operator=(const TaskGroup&) = delete;

  // Starts `task`. After RequestStop() its token is already requested. Join() reports what a task
  // threw. Throws std::system_error, with nothing started, when a thread cannot be created.
  // Requires: no Join() has found every task ended. A task may start another one until then.
  void Start(std::string name, Task task);

  // Reports a failure of background work that is not a task, as if a task had thrown.
  void Fail(std::string name, absl::Status status);

  // Asks every task to stop; does not wait.
  void RequestStop();

  // Waits until every task has ended. Returns those that failed or still run, in the order in which
  // they were started; none: all is well. The threads of tasks that have ended are joined. Calling
  // it again reports the same and whatever failed since.
  std::vector<Left> Join(Patience& patience);

  // What has failed that neither Join() nor this has returned before; does not wait.
  std::vector<Left> LateFailures();

  // The tasks that were asked to stop and still run, in the order in which they were started, as far as
  // can be known without waiting.
  std::vector<std::string> TryStopping() const;

 private:
  struct Entry {
    std::string name;
    std::thread thread;
    std::optional<absl::Status> ended{};  // Unset: it runs.
    bool returned = false;                // By Join() or LateFailures().
  };

  void Run(std::size_t index, const std::string& name, Task task);
  void End(std::size_t index, absl::Status status);

  const std::function<void(const Left&)> on_failure_;
  std::stop_source stop_;
  mutable std::mutex mutex_;
  std::condition_variable_any ended_;
  std::vector<Entry> tasks_;  // Guarded by mutex_.
  std::size_t running_ = 0;   // Guarded by mutex_.
  bool joined_ = false;       // Guarded by mutex_.
};

}  // namespace lifecycle

#endif  // SERVICE_LIFECYCLE_TASK_GROUP_H_
